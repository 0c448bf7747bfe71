//! Any bytes as Livestatus requests: no panic, the split makes no difference, and
//! a query that was read is read again from what is printed of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use livestatus::request::Limits;
use livestatus::{Request, RequestError, RequestReader};

fn read(bytes: &[u8], size: usize, limits: Limits) -> Vec<Result<Request, RequestError>> {
    let mut reader = RequestReader::new(limits);
    let mut requests = Vec::new();
    for chunk in bytes.chunks(size) {
        reader.push(chunk);
        requests.extend(std::iter::from_fn(|| reader.poll_request()));
    }
    reader.finish();
    requests.extend(std::iter::from_fn(|| reader.poll_request()));
    requests
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let tight = Limits {
        line: 256,
        request: 2048,
    };
    let requests = read(bytes, usize::MAX, tight);
    assert_eq!(read(bytes, usize::from(*size).max(1), tight), requests);
    for request in requests.into_iter().flatten() {
        match &request {
            Request::Query(query) => {
                let Ok(printed) = query.print() else { continue };
                let again = read(&printed, usize::MAX, Limits::default());
                assert_eq!(again, [Ok(request)]);
            }
            Request::Command(command) => {
                if let Some(Ok(result)) = command.command.check_result() {
                    let _ = livestatus::Command::from_check_result(&result);
                }
            }
        }
    }
});
