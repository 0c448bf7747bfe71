//! Remarks as external commands, through the command pipe of a core.

use objects::UnixTime;
use program::Failure;

use super::command::Pipe;
use super::remark::{Kind, Remark, Teller};
use super::standing::{Others, Standing};

/// Tells a core by commands.
pub(super) struct CommandTeller {
    pipe: Pipe,
    standing: Option<Standing>,
    /// Asked for when it is needed, once a dump.
    others: Option<Others>,
}

impl CommandTeller {
    /// Without `standing` nobody knows whose an acknowledgement is.
    pub(super) fn new(pipe: Pipe, standing: Option<Standing>) -> Self {
        Self {
            pipe,
            standing,
            others: None,
        }
    }

    /// Whether somebody else has acknowledged the problem, too.
    fn is_also_anothers(&mut self, remark: &Remark, author: &str) -> Result<bool, Failure> {
        let Some(standing) = &self.standing else {
            return Ok(false);
        };
        let others = match self.others.take() {
            Some(others) => others,
            None => standing.others(author)?,
        };
        let is = others.have_acknowledged(&remark.host, remark.service.as_deref());
        self.others = Some(others);
        Ok(is)
    }
}

impl Teller for CommandTeller {
    fn can_name(&self, remark: &Remark) -> bool {
        let names = [Some(&remark.host), remark.service.as_ref()];
        !names.into_iter().flatten().any(|name| name.contains(';'))
    }

    fn tell(&mut self, remark: &Remark, author: &str, now: UnixTime) -> Result<(), Failure> {
        self.pipe.command(&tell(remark, author), now)
    }

    fn undo(&mut self, remark: &Remark, author: &str, now: UnixTime) -> Result<(), Failure> {
        let is_acknowledgement = matches!(remark.kind, Kind::Acknowledgement { .. });
        if is_acknowledgement && self.is_also_anothers(remark, author)? {
            return Ok(());
        }
        self.pipe.command(&undo(remark), now)
    }
}

/// The command that tells a core of a remark.
fn tell(remark: &Remark, author: &str) -> String {
    let (kind, object, text) = (kind(remark), object_of(remark), &remark.text);
    match remark.kind {
        Kind::Acknowledgement { is_sticky } => {
            let sticky = if is_sticky { 2 } else { 1 };
            format!("ACKNOWLEDGE_{kind}_PROBLEM;{object};{sticky};0;0;{author};{text}")
        }
        Kind::Downtime {
            start,
            end,
            is_fixed,
            duration,
        } => {
            let fixed = u8::from(is_fixed);
            format!(
                "SCHEDULE_{kind}_DOWNTIME;{object};{start};{end};{fixed};0;{duration};{author};{text}"
            )
        }
    }
}

/// The command that takes it back. The core finds a downtime by its start and
/// its comment.
fn undo(remark: &Remark) -> String {
    match remark.kind {
        Kind::Acknowledgement { .. } => {
            format!(
                "REMOVE_{}_ACKNOWLEDGEMENT;{}",
                kind(remark),
                object_of(remark)
            )
        }
        Kind::Downtime { start, .. } => {
            let (host, text) = (&remark.host, &remark.text);
            let service = remark.service.as_deref().unwrap_or_default();
            format!("DEL_DOWNTIME_BY_HOST_NAME;{host};{service};{start};{text}")
        }
    }
}

fn kind(remark: &Remark) -> &'static str {
    match remark.service {
        Some(_) => "SVC",
        None => "HOST",
    }
}

fn object_of(remark: &Remark) -> String {
    match &remark.service {
        Some(service) => format!("{};{service}", remark.host),
        None => remark.host.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remark_has_a_command_that_takes_it_back() {
        let downtime = Kind::Downtime {
            start: 50,
            end: 101,
            is_fixed: true,
            duration: 51,
        };
        for (service, kind, want, back) in [
            (
                None,
                Kind::Acknowledgement { is_sticky: true },
                "ACKNOWLEDGE_HOST_PROBLEM;h;2;0;0;sitewire:a;bob: x",
                "REMOVE_HOST_ACKNOWLEDGEMENT;h",
            ),
            (
                Some("s"),
                Kind::Acknowledgement { is_sticky: false },
                "ACKNOWLEDGE_SVC_PROBLEM;h;s;1;0;0;sitewire:a;bob: x",
                "REMOVE_SVC_ACKNOWLEDGEMENT;h;s",
            ),
            (
                None,
                downtime,
                "SCHEDULE_HOST_DOWNTIME;h;50;101;1;0;51;sitewire:a;bob: x",
                "DEL_DOWNTIME_BY_HOST_NAME;h;;50;bob: x",
            ),
            (
                Some("s"),
                downtime,
                "SCHEDULE_SVC_DOWNTIME;h;s;50;101;1;0;51;sitewire:a;bob: x",
                "DEL_DOWNTIME_BY_HOST_NAME;h;s;50;bob: x",
            ),
        ] {
            let remark = Remark {
                host: "h".to_owned(),
                service: service.map(str::to_owned),
                kind,
                text: "bob: x".to_owned(),
            };
            assert_eq!(tell(&remark, "sitewire:a"), want);
            assert_eq!(undo(&remark), back);
        }
    }
}
