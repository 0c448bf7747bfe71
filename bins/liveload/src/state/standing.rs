//! Who else has acknowledged a problem. A core keeps one acknowledgement of an
//! object, whoever has given it last, and a comment of everybody who has: where
//! there is one of somebody else, it is not ours to take away.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use livestatus::filter::Comparison;
use livestatus::{Filter, Operator, Query};
use program::connection::Target;
use program::{Failure, Status};

use super::known::each_row;

/// A comment that came with an acknowledgement.
const ACKNOWLEDGEMENT: &str = "4";
/// Longest line that is looked at.
const MAX_LINE: u64 = 1 << 16;

/// Where a core tells.
pub(super) enum Standing {
    Livestatus(Target),
    /// `status.dat`, which Nagios and Naemon write every few seconds.
    File(PathBuf),
}

/// The objects whose problems somebody else has acknowledged.
#[derive(Debug, Default)]
pub(super) struct Others(HashSet<(Vec<u8>, Option<Vec<u8>>)>);

impl Standing {
    /// Those that are not from `author`.
    pub(super) fn others(&self, author: &str) -> Result<Others, Failure> {
        match self {
            Self::Livestatus(target) => ask(target, author),
            Self::File(path) => {
                let failed =
                    |error| Failure::caused(Status::Failed, path.display().to_string(), error);
                read(path, author).map_err(failed)
            }
        }
    }
}

impl Others {
    pub(super) fn have_acknowledged(&self, host: &str, service: Option<&str>) -> bool {
        let service = service.map(|name| name.as_bytes().to_vec());
        self.0.contains(&(host.as_bytes().to_vec(), service))
    }
}

fn ask(target: &Target, author: &str) -> Result<Others, Failure> {
    let columns = ["host_name", "service_description", "author"];
    let mut query = Query::rows("comments", columns);
    query.filters.push(Filter::Compare {
        column: "entry_type".into(),
        operator: Operator {
            comparison: Comparison::Equal,
            negated: false,
        },
        value: ACKNOWLEDGEMENT.into(),
    });
    let mut others = Others::default();
    each_row(target, &query, |row| {
        if *row.cell(2).text() != *author.as_bytes() {
            let service = row.cell(1).text().into_owned();
            let service = (!service.is_empty()).then(|| service.into());
            others
                .0
                .insert((row.cell(0).text().into_owned().into(), service));
        }
    })?;
    Ok(others)
}

/// A comment that is being read.
#[derive(Default)]
struct Comment {
    host: Vec<u8>,
    service: Option<Vec<u8>>,
    is_acknowledgement: bool,
    is_ours: bool,
}

fn read(path: &Path, author: &str) -> io::Result<Others> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut others = Others::default();
    let mut comment = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(others);
        }
        let line = line.trim_ascii();
        match line {
            b"hostcomment {" | b"servicecomment {" => comment = Some(Comment::default()),
            b"}" => {
                if let Some(Comment {
                    host,
                    service,
                    is_acknowledgement: true,
                    is_ours: false,
                }) = comment.take()
                {
                    others.0.insert((host, service));
                }
            }
            _ => {
                if let (Some(comment), Some((key, value))) =
                    (&mut comment, line.split_once_str("="))
                {
                    comment.set(key, value, author);
                }
            }
        }
    }
}

impl Comment {
    fn set(&mut self, key: &[u8], value: &[u8], author: &str) {
        match key {
            b"host_name" => self.host = value.to_vec(),
            b"service_description" => self.service = Some(value.to_vec()),
            b"entry_type" => self.is_acknowledgement = value == ACKNOWLEDGEMENT.as_bytes(),
            b"author" => self.is_ours = value == author.as_bytes(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_file_tells_who_else_has_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.dat");
        let comment = |kind: &str, names: &str, entry: u8, author: &str| {
            format!(
                "{kind} {{\n\t{names}\n\tentry_type={entry}\n\tauthor={author}\n\tcomment_data=a=b\n\t}}\n\n"
            )
        };
        let ours = "sitewire:a";
        let text = [
            "hoststatus {\n\thost_name=up\n\tentry_type=4\n\t}\n".to_owned(),
            comment("hostcomment", "host_name=ours", 4, ours),
            comment("hostcomment", "host_name=said", 1, "eve"),
            comment("hostcomment", "host_name=both", 4, ours),
            comment("hostcomment", "host_name=both", 4, "eve"),
            comment(
                "servicecomment",
                "host_name=ours\n\tservice_description=a=b",
                4,
                "eve",
            ),
        ];
        std::fs::write(&path, text.concat()).unwrap();
        let others = Standing::File(path).others(ours).unwrap();
        for (host, service, want) in [
            ("up", None, false),
            ("ours", None, false),
            ("said", None, false),
            ("both", None, true),
            ("ours", Some("a=b"), true),
            ("both", Some("a=b"), false),
        ] {
            assert_eq!(
                others.have_acknowledged(host, service),
                want,
                "{host} {service:?}"
            );
        }
        let away = Standing::File(directory.path().join("none"));
        assert!(away.others(ours).is_err());
    }
}
