//! A JSON object a line, for whoever reads them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use objects::CheckResult;
use serde_json::json;

use super::{Error, Way};

pub(super) struct Json {
    /// None for standard output.
    file: Option<PathBuf>,
}

impl Json {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }
}

impl Way for Json {
    fn submit(&mut self, results: &[CheckResult]) -> Result<(), Error> {
        let mut text = String::new();
        for result in results {
            text.push_str(&line(result));
            text.push('\n');
        }
        match &self.file {
            None => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            // Opened each time: it may have been rotated away.
            Some(path) => OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| format!("{}: {error}", path.display()))?,
        }
        Ok(())
    }
}

/// One result.
pub(crate) fn line(result: &CheckResult) -> String {
    let text = |bytes: &BString| bytes.to_str_lossy().into_owned();
    json!({
        "host_name": text(&result.host_name),
        "service_description": result.service_description.as_ref().map(text),
        "time": result.time.secs(),
        "return_code": result.return_code,
        "plugin_output": text(&result.plugin_output),
        "long_plugin_output": text(&result.long_plugin_output),
        "perf_data": text(&result.perf_data),
    })
    .to_string()
}
