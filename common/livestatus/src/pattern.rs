//! Regular expressions as Livestatus means them.
