//! In what `livestatusd` answers otherwise than Icinga 2, and why that is right.
//! What is listed here and does not occur any more fails the test, too.

/// What an answer is, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The connection was closed without a word.
    Nothing,
    /// An error with this status.
    Fault(u16),
    /// Rows, or an empty answer that stands for no row.
    Rows,
    /// Status 200 and something that is no rows of the format asked for.
    Other,
}

use Shape::{Fault, Nothing, Other, Rows};

/// A difference of whole answers: the name under which queries refer to it, what
/// Icinga 2 and we answer, and why.
pub(super) struct OfAnswers {
    pub(super) name: &'static str,
    pub(super) theirs: Shape,
    pub(super) ours: Shape,
    pub(super) why: &'static str,
}

const fn answers(name: &'static str, theirs: Shape, ours: Shape, why: &'static str) -> OfAnswers {
    OfAnswers {
        name,
        theirs,
        ours,
        why,
    }
}

pub(super) const ANSWERS: &[OfAnswers] = &[
    answers(
        "operators-with-bang",
        Fault(452),
        Rows,
        "Icinga 2 does not know !< !> !<= !>=, which are the opposites of the plain ones",
    ),
    answers(
        "bad-pattern",
        Rows,
        Fault(400),
        "Icinga 2 takes a regular expression that is none for one that matches nothing",
    ),
    answers(
        "dict-is-empty",
        Rows,
        Rows,
        "Icinga 2 takes = on custom_variables for the question whether there are any, whatever the value says",
    ),
    answers(
        "dict-operators",
        Fault(452),
        Rows,
        "Icinga 2 cannot look into custom_variables; its only operators there are = and >=",
    ),
    answers(
        "or-of-nothing",
        Rows,
        Rows,
        "Or: 0 is true in Icinga 2; one of no conditions never holds",
    ),
    answers(
        "limit-below-0",
        Rows,
        Fault(400),
        "a negative limit is no limit in Icinga 2",
    ),
    answers(
        "number-closes",
        Nothing,
        Fault(400),
        "Icinga 2 closes the connection without a word when a number in a header is none",
    ),
    answers("offset", Rows, Rows, "Icinga 2 ignores Offset"),
    answers(
        "sort",
        Rows,
        Rows,
        "Icinga 2 ignores Sort, so that its first rows are any",
    ),
    answers(
        "inverse-of-zero",
        Fault(452),
        Rows,
        "Icinga 2 gives up inverses when a value is zero; here zeros are left out",
    ),
    answers(
        "group-by-missing",
        Fault(452),
        Rows,
        "Icinga 2 cannot group by a list when an object has none",
    ),
    answers(
        "group-by-boolean",
        Fault(452),
        Rows,
        "Icinga 2 cannot group by what it holds as true and false",
    ),
    answers(
        "stats-negate",
        Rows,
        Rows,
        "StatsNegate has no effect in Icinga 2",
    ),
    answers(
        "stats-of-perf-data",
        Fault(452),
        Rows,
        "Icinga 2 cannot calculate with perf_data; here it is done label by label, as in Naemon and Checkmk",
    ),
    answers(
        "stats-of-text",
        Fault(452),
        Fault(400),
        "both refuse to calculate with a text, Icinga 2 with its status for everything",
    ),
    answers(
        "no-group",
        Rows,
        Rows,
        "where no row passes, Icinga 2 shows one group without its name",
    ),
    answers(
        "limit-of-groups",
        Rows,
        Rows,
        "Icinga 2 stops at the limit before it counts; here it limits the groups, as in Naemon",
    ),
    answers(
        "stats-group-by",
        Rows,
        Rows,
        "Icinga 2 ignores StatsGroupBy; here it is another word for Columns",
    ),
    answers(
        "names-without-rows",
        Rows,
        Rows,
        "Icinga 2 leaves out the names when there are no rows",
    ),
    answers(
        "prefix-twice",
        Fault(452),
        Rows,
        "Icinga 2 takes the prefix of a table away once at most",
    ),
    answers(
        "last-columns",
        Rows,
        Rows,
        "of several Columns headers Icinga 2 takes the last; here they add up, as in Naemon and Checkmk",
    ),
    answers(
        "double-blank",
        Fault(452),
        Rows,
        "two blanks between columns are an empty name to Icinga 2",
    ),
    answers(
        "unknown-column",
        Fault(452),
        Rows,
        "Icinga 2 refuses an unknown column in Columns; here its cells are empty, which clients count on",
    ),
    answers(
        "unknown-name",
        Fault(452),
        Fault(400),
        "Icinga 2 has the status 452 for all faults; an unknown column or operator is a bad request here, as in Checkmk",
    ),
    answers(
        "format-missing",
        Other,
        Rows,
        "Icinga 2 sends an empty answer with status 200 for a format it does not know",
    ),
    answers(
        "format-quoted",
        Other,
        Other,
        "Icinga 2 sends an empty answer with status 200 for CSV, which is quoted fields here",
    ),
    answers(
        "format-unknown",
        Other,
        Fault(400),
        "Icinga 2 sends an empty answer with status 200 for a format that there is nowhere",
    ),
    answers(
        "python",
        Other,
        Other,
        "Icinga 2 writes texts as raw Python literals with all bytes as they are; here they are escaped",
    ),
    answers(
        "localtime",
        Rows,
        Fault(400),
        "Icinga 2 ignores Localtime, also when it is days away",
    ),
    answers(
        "auth-user",
        Rows,
        Rows,
        "Icinga 2 ignores AuthUser and shows everything to everybody",
    ),
    answers(
        "no-blank-line",
        Nothing,
        Rows,
        "Icinga 2 does not answer a request without a blank line, even if the client has said all it had to say",
    ),
    answers(
        "no-request",
        Nothing,
        Fault(452),
        "Icinga 2 closes the connection without a word when the first line is no request",
    ),
    answers(
        "filter-cut-short",
        Nothing,
        Fault(400),
        "Icinga 2 closes the connection without a word when a filter has no operator",
    ),
    answers(
        "number-with-rest",
        Fault(452),
        Rows,
        "Icinga 2 wants clean numbers in filters; here what follows the digits is passed over, because clients send it",
    ),
    answers(
        "number-with-fraction",
        Rows,
        Rows,
        "Icinga 2 compares whole numbers with fractions; here the fraction is passed over, as in Naemon and Checkmk",
    ),
    answers(
        "bits",
        Rows,
        Rows,
        "Icinga 2 compares numbers as texts with the operators of texts; here they test bits, as in Checkmk",
    ),
    answers(
        "list-patterns",
        Fault(452),
        Rows,
        "the only operators on lists in Icinga 2 are = and >=; here an element can match, as in Checkmk",
    ),
    answers(
        "list-no-case",
        Fault(452),
        Fault(400),
        "both refuse the operator on a list, Icinga 2 with its status for everything",
    ),
    answers(
        "list-is-empty",
        Rows,
        Fault(400),
        "Icinga 2 takes = on a list for the question whether it is empty, whatever the value says",
    ),
    answers(
        "stack-too-small",
        Fault(451),
        Fault(400),
        "Icinga 2 has a status of its own for a combination of more filters than there are; some clients cannot take 451",
    ),
    answers(
        "dict-contains",
        Rows,
        Rows,
        "Icinga 2 takes < on custom_variables for 'does not contain'; here the entry is compared",
    ),
    answers(
        "passive-backslash",
        Rows,
        Rows,
        "Icinga 2 keeps both of two backslashes in a result that is handed in; here they are one, as in Naemon",
    ),
    answers(
        "header-unknown",
        Rows,
        Fault(400),
        "Icinga 2 passes over headers and values of headers that it does not know",
    ),
    answers(
        "command-fault",
        Fault(452),
        Fault(400),
        "both refuse the command, Icinga 2 with its status for everything",
    ),
    answers(
        "own-commands",
        Rows,
        Rows,
        "Icinga 2 shows the commands it brings along; here a command exists because an object names it",
    ),
    answers(
        "worst-state",
        Rows,
        Rows,
        "the worst state of a group is the highest number in Icinga 2; here critical is worse than unknown, as in Naemon and Checkmk",
    ),
    answers(
        "servicegroup-members",
        Rows,
        Rows,
        "Icinga 2 does not find members of service groups; here they are found as HOST|SERVICE, as in Naemon",
    ),
    answers(
        "downtime-type",
        Rows,
        Rows,
        "the type of a downtime is the other way round in Icinga 2: 1 is a service and 2 a host, as in Naemon and Checkmk",
    ),
    answers(
        "columns-of-the-group",
        Rows,
        Rows,
        "a filter on the columns of the group never matches in Icinga 2 in tables of objects by group",
    ),
];

/// A difference of values: tables and columns in which cells differ, and why.
/// `*` is any table; a column that is joined is meant along.
pub(super) struct OfCells {
    pub(super) tables: &'static str,
    pub(super) columns: &'static str,
    pub(super) why: &'static str,
}

const fn cells(tables: &'static str, columns: &'static str, why: &'static str) -> OfCells {
    OfCells {
        tables,
        columns,
        why,
    }
}

pub(super) const CELLS: &[OfCells] = &[
    cells(
        "hosts services hostsbygroup servicesbygroup servicesbyhostgroup",
        "active_checks_enabled checks_enabled check_type",
        "Icinga 2 gets results handed in here and says so; a shadow is checked at its own site",
    ),
    cells(
        "*",
        "check_source",
        "Icinga 2 names the node that checked; here it is the site that the state came from",
    ),
    cells(
        "*",
        "next_check",
        "Icinga 2 knows when it would check; of a shadow that is not known here, and 0 is never",
    ),
    cells(
        "*",
        "check_freshness event_handler_enabled process_performance_data high_flap_threshold low_flap_threshold notification_interval",
        "settings of the core that checks, with Icinga 2's defaults; a dump does not carry them, and the shadow has none",
    ),
    cells(
        "*",
        "in_notification_period",
        "Icinga 2 looks at the periods of its notifications, and says no where there are none; a shadow is always in its period",
    ),
    cells(
        "*",
        "no_more_notifications",
        "Icinga 2 says yes for a notification that is sent once only; a shadow notifies nobody",
    ),
    cells(
        "*",
        "is_reachable",
        "Icinga 2 knows that the services of a host that is down cannot be reached; a dump does not carry it",
    ),
    cells(
        "*",
        "check_options first_notification_delay initial_state x_2d y_2d x_3d y_3d z_3d",
        "Icinga 2 has an empty text in this column of numbers, which is 0 here",
    ),
    cells(
        "*",
        "original_attributes",
        "Icinga 2 says that nothing was modified at run time as the text null, which is empty here",
    ),
    cells(
        "*",
        "modified_attributes_list",
        "Icinga 2 has the number 0 in this column of lists, which is an empty list here",
    ),
    cells(
        "*",
        "last_hard_state",
        "Icinga 2 has unknown as the hard state of an object that was never hard; here it is good until something else is confirmed",
    ),
    cells(
        "*",
        "num_services_hard_ok",
        "Icinga 2 counts services whose present state is hard; here one that is soft counts with its last hard state, as in Naemon",
    ),
    cells(
        "*",
        "worst_service_state worst_service_hard_state",
        "the highest number is worst in Icinga 2; here critical is worse than unknown, as in Naemon and Checkmk",
    ),
    cells(
        "*",
        "staleness",
        "Icinga 2 divides by seconds as if they were hours; here it is the age of the last check in check intervals",
    ),
    cells(
        "*",
        "comments downtimes id",
        "each server numbers comments and downtimes by itself, Icinga 2 the two apart",
    ),
    cells(
        "*",
        "members_with_state",
        "Icinga 2 leaves out whether a host was checked, and puts the host's state in where a service belongs to it",
    ),
    cells(
        "comments",
        "persistent",
        "Icinga 2 says of every comment that it is persistent",
    ),
    cells(
        "downtimes",
        "type",
        "the type of a downtime is the other way round in Icinga 2, and 0 before it begins: 1 is a service and 2 a host, as in Naemon and Checkmk",
    ),
    cells(
        "downtimes",
        "end_time",
        "Icinga 2 writes times in 32 bits, which a downtime without end exceeds",
    ),
    cells(
        "commands",
        "line",
        "a configuration dump has the names of commands, not what they run",
    ),
    cells(
        "status",
        "check_host_freshness check_service_freshness enable_event_handlers enable_flap_detection enable_notifications execute_host_checks execute_service_checks",
        "Icinga 2 checks, notifies and handles events; here nothing does",
    ),
];

/// Differences of cells where the site knows its objects from dumps only.
pub(super) const DUMP: &[OfCells] = &[cells(
    "*",
    "comments_with_info comments_with_extra_info downtimes_with_info",
    "each server numbers comments and downtimes by itself, and the number is a part of these",
)];

/// Differences of cells before anything has been checked.
pub(super) const PENDING: &[OfCells] = &[
    cells(
        "*",
        "state hard_state last_hard_state last_state",
        "Icinga 2 has hosts that were never checked down and services unknown; here they are good, and pending by has_been_checked",
    ),
    cells(
        "*",
        "last_check",
        "Icinga 2 says -1 where there was no check; here it is 0",
    ),
    cells(
        "*",
        "num_services_unknown services_with_state services_with_info",
        "the services that were never checked are unknown in Icinga 2, and pending here",
    ),
];

/// Columns of status that say something about the process that answers.
pub(super) const OWN: &str = "connections connections_rate external_commands external_commands_rate \
    host_checks host_checks_rate service_checks service_checks_rate last_command_check requests \
    requests_rate livestatus_active_connections livestatus_queued_connections livestatus_threads \
    livestatus_version nagios_pid program_start program_version";

/// A difference in how a value is written, in whatever column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writing {
    Booleans,
    Nulls,
    Pairs,
}

pub(super) const WRITING: &[(Writing, &str)] = &[
    (
        Writing::Booleans,
        "Icinga 2 writes some yes-or-no columns as true and false in JSON; 0 and 1 is what all other servers write",
    ),
    (
        Writing::Nulls,
        "Icinga 2 writes null for what an object does not have; here it is the empty value of its type",
    ),
    (
        Writing::Pairs,
        "Icinga 2 writes texts by name as a list of pairs; here they are an object, as in Naemon and Checkmk",
    ),
];
