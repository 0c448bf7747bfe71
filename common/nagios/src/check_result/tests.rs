use bstr::ByteSlice;
use objects::{DowntimeKind, DumpBegin, DumpContent, DumpMode, EntryType, SiteId};
use proptest::prelude::*;

use super::*;
use crate::Error;

fn begin() -> DumpBegin {
    DumpBegin {
        site: SiteId::new("remote1").unwrap(),
        content: DumpContent::State,
        epoch: 3,
        sequence: 1_795_217_983_250_000,
        mode: DumpMode::Full,
        time: UnixTime::from_micros(1_795_217_983_250_000),
        config_hash: Some("0f".repeat(32)),
    }
}

fn results() -> Vec<CheckResult> {
    let time = UnixTime::from_micros(1_795_217_980_000_020);
    let host = CheckResult {
        host_name: "db 1;x".into(),
        return_code: 2,
        start_time: time,
        finish_time: UnixTime::from_micros(1_795_217_981_500_000),
        latency: 0.25,
        plugin_output: r"C:\new; it's".into(),
        long_plugin_output: "one\n\ntwo\\".into(),
        perf_data: "a=1;2;3 'b c'=\\".into(),
        ..CheckResult::default()
    };
    let service = CheckResult {
        service_description: Some("Drive C:\\".into()),
        full: Some(Full {
            has_been_checked: true,
            state_type: StateType::Soft,
            current_attempt: 2,
            max_check_attempts: 5,
            last_state_change: UnixTime::from_secs(1_795_000_000),
            last_hard_state_change: UnixTime::from_secs(1_794_000_000),
            is_flapping: true,
            percent_state_change: Some(12.5),
            acknowledgement: Some(AcknowledgementType::Sticky),
            scheduled_downtime_depth: 1,
            staleness: Some(0.5),
            acknowledgement_comments: vec![Comment {
                id: 7,
                author: "a;b\\".into(),
                comment: "it's\nmine\\".into(),
                entry_time: time,
                entry_type: EntryType::Acknowledgement,
                persistent: true,
                expire_time: UnixTime::NEVER,
            }],
            downtimes: vec![Downtime {
                id: 9,
                author: "me".into(),
                comment: "".into(),
                entry_time: time,
                start_time: time,
                end_time: UnixTime::from_secs(1_895_000_000),
                duration: 60,
                kind: DowntimeKind::Fixed,
            }],
        }),
        ..host.clone()
    };
    let pending = CheckResult {
        host_name: "new".into(),
        full: Some(Full {
            has_been_checked: false,
            ..Full::default()
        }),
        ..CheckResult::default()
    };
    vec![host, service, pending]
}

fn printed(core: Core, results: &[CheckResult]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut printer = Printer::begin(&begin(), core, &mut out);
    for result in results {
        printer.record(result, &mut out);
    }
    printer.end(&mut out);
    out
}

/// What is read of a text, in pieces; the error last.
fn read<'t>(pieces: impl Iterator<Item = &'t [u8]>) -> (Vec<CheckResult>, Vec<String>) {
    let (mut results, mut said) = (Vec::new(), Vec::new());
    let mut reader = Reader::new(None, Limits::default());
    let mut pieces = pieces.fuse();
    loop {
        match reader.poll_event() {
            Ok(Event::NeedInput) => match pieces.next() {
                Some(piece) => reader.push(piece),
                None => reader.finish(),
            },
            Ok(Event::Begin(Some(begin))) => said.push(format!("from {}", begin.dump.site)),
            Ok(Event::Begin(None)) => said.push("no frame".to_owned()),
            Ok(Event::Record(result)) => results.push(result.clone()),
            Ok(Event::Refused(refused)) => said.push(format!("{}: {}", refused.line, refused.why)),
            Ok(Event::End(end)) => {
                said.push(format!("end {:?}", end.map(|end| end.records)));
                return (results, said);
            }
            Err(error) => {
                said.push(error.to_string());
                return (results, said);
            }
        }
    }
}

fn read_whole(text: &[u8]) -> (Vec<CheckResult>, Vec<String>) {
    read(std::iter::once(text))
}

#[test]
fn a_dump_looks_like_this() {
    let text = printed(Core::Naemon, &results()[1..]);
    let want = "# sitewire 1 state site=remote1 seq=1795217983250000 epoch=3 mode=full \
        time=1795217983.25 config=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f core=naemon\n\
        host_name=db 1;x\nservice_description=Drive C:\\\\\ncheck_type=1\ncheck_options=0\n\
        latency=0.250000\nstart_time=1795217980.000020\nfinish_time=1795217981.500000\n\
        return_code=2\noutput=C:/new; it's|a=1;2;3 'b c'=\\\\none\\n\\ntwo\\ \n\
        # full has_been_checked=1 state_type=0 current_attempt=2 max_check_attempts=5 \
        last_state_change=1795000000 last_hard_state_change=1794000000 is_flapping=1 \
        percent_state_change=12.5 acknowledgement_type=2 scheduled_downtime_depth=1 staleness=0.5\n\
        # acknowledgement 7;1795217980.00002;1;0;a\\sb\\\\;it's\\nmine\\\\;\n\
        # downtime 9;1795217980.00002;1795217980.00002;1895000000;1;60;me;;\n\n\
        host_name=new\n# full has_been_checked=0 state_type=1 current_attempt=1 max_check_attempts=0 \
        last_state_change=0 last_hard_state_change=0 is_flapping=0 acknowledgement_type=0 \
        scheduled_downtime_depth=0\n\n# sitewire-end records=2 crc32c=";
    assert_eq!(text[..want.len()].as_bstr(), want);
}

#[test]
fn what_was_printed_is_read_whatever_the_split() {
    let text = printed(Core::Nagios, &results());
    let said = vec!["from remote1".to_owned(), "end Some(3)".to_owned()];
    assert_eq!(read_whole(&text), (results(), said.clone()));
    assert_eq!(read(text.chunks(1)), (results(), said.clone()));
    // Mail makes two bytes of line feeds.
    let text = text.replace("\n", "\r\n");
    assert_eq!(read(text.chunks(7)), (results(), said));
}

#[test]
fn behind_the_end_stands_nothing_but_a_signature() {
    let mut text = printed(Core::Nagios, &results());
    text.extend_from_slice(b"# sitewire-signature 1 x y z\n");
    assert_eq!(read_whole(&text).1, ["from remote1", "end Some(3)"]);
    text.extend_from_slice(b"host_name=x\n");
    assert!(read_whole(&text).1[1].contains("something follows the end mark"));
}

#[test]
fn a_dump_cut_at_any_byte_gives_whole_records_and_is_told_to_be_cut() {
    let text = printed(Core::Nagios, &results());
    for length in 0..text.len() {
        let (read, said) = read_whole(&text[..length]);
        assert_eq!(read, results()[..read.len()], "cut at {length}");
        let last = said.last().unwrap();
        assert!(
            length == 0 || last.contains("cut short"),
            "{length}: {last}"
        );
    }
}

#[test]
fn a_dump_with_any_byte_changed_is_damaged() {
    let text = printed(Core::Nagios, &results());
    let body = text.find_byte(b'\n').unwrap() + 1;
    for at in body..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 1;
        let (_, said) = read_whole(&changed);
        assert!(!said.last().unwrap().starts_with("end"), "changed at {at}");
    }
}

#[test]
fn the_original_s_dumps_are_read_to_the_letter() {
    let record = "host_name=h\ncheck_type=1\ncheck_options=0\nreschedule_check\nlatency=0.00\n\
                  start_time=1795217982.3\nfinish_time=1795217982.3\nreturn_code=1\n\
                  output=C:\\new\\|a=1\n\n";
    let (results, said) = read_whole(record.repeat(2).as_bytes());
    assert_eq!(said, ["no frame", "end None"]);
    assert_eq!(results.len(), 2);
    assert_eq!(results[0].plugin_output, "C:\\new\\");
    assert_eq!(results[0].perf_data, "a=1");
}

#[test]
fn records_that_cannot_be_right_are_left_out_and_named() {
    let good = "host_name=h\nstart_time=1.0\nreturn_code=0\noutput=ok\n";
    for (name, record, want) in [
        (
            "no host",
            "start_time=1.0\nreturn_code=0\noutput=\n".to_owned(),
            "host_name is missing",
        ),
        (
            "no output",
            good.replace("output=ok\n", ""),
            "output is missing",
        ),
        (
            "no state",
            good.replace("return_code=0\n", ""),
            "return_code is missing",
        ),
        (
            "state",
            good.replace("code=0", "code=4"),
            "return_code: \"4\" is not a state",
        ),
        (
            "state",
            good.replace("code=0", "code=-1"),
            "return_code: \"-1\" is not a state",
        ),
        (
            "time",
            good.replace("=1.0", "=soon"),
            "start_time: \"soon\" is not a time",
        ),
        (
            "before time",
            good.replace("=1.0", "=-1.0"),
            "start_time: \"-1.0\" is not a time",
        ),
        ("two in one", good.repeat(2), "host_name stands there twice"),
        (
            "NUL",
            good.replace("ok", "o\0k"),
            "output: it has a NUL byte",
        ),
        (
            "NUL in name",
            good.replace("=h\n", "=h\0\n"),
            "host_name: it has a NUL byte",
        ),
        (
            "no name",
            good.replace("=h\n", "=\n"),
            "host_name: it is empty",
        ),
    ] {
        let text = format!("{good}\n{record}\n{good}\n");
        let (results, said) = read_whole(text.as_bytes());
        assert_eq!(results.len(), 2, "{name}");
        assert_eq!(said[1], format!("6: {want}"), "{name}");
    }
}

#[test]
fn a_line_that_swallows_the_next_one_is_refused_where_escapes_are_undone() {
    let mut text = Vec::new();
    let mut printer = Printer::begin(&begin(), Core::Nagios, &mut text);
    printer.record(&results()[0], &mut text);
    let at = text.find(b"db 1;x").unwrap();
    text.splice(at..at + 6, *b"db 1;\\");
    let (results, said) = read_whole(&text);
    assert!(results.is_empty());
    assert!(said[1].contains("would swallow the next one"), "{said:?}");
}

#[test]
fn what_is_too_large_is_refused_before_memory_is_taken() {
    let limits = Limits {
        line: 50,
        record: 5,
    };
    for text in [
        vec![b'x'; 51],
        [&[b'x'; 51][..], b"\n"].concat(),
        b"a=b\n".repeat(6),
    ] {
        let mut reader = Reader::new(None, limits);
        reader.push(&text);
        let error = loop {
            match reader.poll_event() {
                Ok(Event::NeedInput) => panic!("{:?} is waited for", text.as_bstr()),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Limit { .. }), "{error}");
    }
}

fn text() -> impl Strategy<Value = BString> {
    let byte = prop_oneof![prop::sample::select(&b"\\n;|\n\t a"[..]), any::<u8>()];
    prop::collection::vec(byte, 1..12).prop_map(BString::from)
}

prop_compose! {
    fn result()(
        host_name in text(),
        service_description in prop::option::of(text()),
        return_code in 0..=3_u8,
        start in 0..i64::from(u32::MAX) * 1_000_000,
        execution in 0..100_000_000_i64,
        texts in (text(), text(), text()),
        is_full: bool,
    ) -> CheckResult {
        CheckResult {
            host_name,
            service_description,
            return_code,
            start_time: UnixTime::from_micros(start),
            finish_time: UnixTime::from_micros(start + execution),
            plugin_output: texts.0,
            long_plugin_output: texts.1,
            perf_data: texts.2,
            full: is_full.then(Full::default),
            ..CheckResult::default()
        }
    }
}

proptest! {
    #[test]
    fn printing_and_reading_again_changes_nothing_more(
        results in prop::collection::vec(result(), 0..4), naemon: bool,
    ) {
        let core = if naemon { Core::Naemon } else { Core::Nagios };
        let (once, said) = read_whole(&printed(core, &results));
        prop_assert_eq!(said.len(), 2, "{:?}", said);
        prop_assert_eq!(once.len(), results.len());
        for (read, meant) in once.iter().zip(&results) {
            prop_assert_eq!(read.start_time, meant.start_time);
            prop_assert_eq!(read.finish_time, meant.finish_time);
            prop_assert_eq!(read.return_code, meant.return_code);
        }
        let (twice, _) = read_whole(&printed(core, &once));
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(bytes.chunks(9));
    }
}
