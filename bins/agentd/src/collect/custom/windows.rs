//! How commands are started on Windows, where a `shell` is one of four words.

use crate::config::CustomCheck;

use super::words;

/// What PowerShell is told before it is told what to do.
const POWERSHELL: [&str; 8] = [
    "-NoProfile",
    "-ExecutionPolicy",
    "unrestricted",
    "-NonInteractive",
    "-NoLogo",
    "-OutputFormat",
    "Text",
    "-File",
];

/// The program and its arguments.
pub(super) fn command(check: &CustomCheck) -> Result<Vec<String>, String> {
    // In a path a backslash is one.
    let command = || words::split(&check.command.replace('\\', r"\\"));
    let with = |program: &str, options: &[&str], rest: Vec<String>| {
        let options = options.iter().map(|option| (*option).to_owned());
        let first = std::iter::once(program.to_owned());
        first.chain(options).chain(rest).collect()
    };
    let powershell = check.powershell.as_str();
    match check.shell.as_str() {
        "" => command(),
        "powershell" => Ok(with(powershell, &POWERSHELL, command()?)),
        "powershell_command" => {
            let mut options = POWERSHELL;
            options[7] = "-EncodedCommand";
            Ok(with(powershell, &options, vec![encoded(&check.command)]))
        }
        "bat" => Ok(with("cmd.exe", &["/q", "/c"], command()?)),
        "vbs" => Ok(with("cscript.exe", &["/Nologo"], command()?)),
        other => Err(format!(
            "`shell` is {other:?}, which is none of powershell, powershell_command, bat and vbs"
        )),
    }
}

/// As PowerShell wants it: Base64 of UTF-16, the low bytes first.
fn encoded(command: &str) -> String {
    let bytes: Vec<u8> = command.encode_utf16().flat_map(u16::to_le_bytes).collect();
    data_encoding::BASE64.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_shell_is_one_of_four_words() {
        let options = POWERSHELL[..7].join(" ");
        for (shell, line, want) in [
            ("", r#"C:\a\b.exe "c d""#, r"C:\a\b.exe|c d".to_owned()),
            (
                "powershell",
                r"C:\a.ps1 -w 5",
                format!(
                    r"pwsh.exe|{}|-File|C:\a.ps1|-w|5",
                    options.replace(' ', "|")
                ),
            ),
            (
                "powershell_command",
                "echo é",
                format!(
                    "pwsh.exe|{}|-EncodedCommand|ZQBjAGgAbwAgAOkA",
                    options.replace(' ', "|")
                ),
            ),
            ("bat", r"C:\a.bat x", r"cmd.exe|/q|/c|C:\a.bat|x".to_owned()),
            (
                "vbs",
                r"C:\a.vbs",
                r"cscript.exe|/Nologo|C:\a.vbs".to_owned(),
            ),
        ] {
            let mut check = check(line);
            check.shell = shell.to_owned();
            check.powershell = "pwsh.exe".to_owned();
            assert_eq!(command(&check).unwrap().join("|"), want, "{shell}");
        }
        let mut other = check("echo");
        other.shell = "/bin/sh".to_owned();
        assert!(command(&other).unwrap_err().contains("/bin/sh"));
    }
}
