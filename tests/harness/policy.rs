//! What a Postfix asks before it takes a recipient or a mail: a policy service, as
//! greylisting is one, that answers as a test wants it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A policy service. It answers as long as the test runs.
pub struct Policy {
    port: u16,
    next: Arc<Mutex<Option<Next>>>,
}

/// When Postfix asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// After a recipient.
    Recipient,
    /// After the mail, which it has not stored yet.
    EndOfMail,
}

struct Next {
    stage: Stage,
    answer: Box<dyn FnOnce() -> String + Send>,
}

impl Policy {
    /// One that lets everything pass.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
        let port = listener.local_addr().expect("it has an address").port();
        let next = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&next);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let next = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &next));
            }
        });
        Self { port, next }
    }

    /// What Postfix is told when it asks at this stage for the next time: a code and a
    /// text, as in its access(5). What comes after that passes again.
    pub fn once(&self, stage: Stage, answer: impl FnOnce() -> String + Send + 'static) {
        let answer = Box::new(answer);
        *self.next.lock().expect("nobody panics with it") = Some(Next { stage, answer });
    }

    /// Lines of `main.cf` by which it is asked, before the `restrictions` for
    /// recipients.
    pub fn settings(&self, restrictions: &str) -> String {
        let service = format!("check_policy_service inet:127.0.0.1:{}", self.port);
        format!(
            "smtpd_recipient_restrictions = {service}, {restrictions}\n\
             smtpd_end_of_data_restrictions = {service}\n"
        )
    }
}

/// Questions are lines `name=value` up to an empty one.
fn serve(stream: TcpStream, next: &Mutex<Option<Next>>) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut stage = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        match line.as_str() {
            "protocol_state=RCPT" => stage = Some(Stage::Recipient),
            "protocol_state=END-OF-MESSAGE" => stage = Some(Stage::EndOfMail),
            "" => {
                let mut next = next.lock().expect("nobody panics with it");
                let is_now = next.as_ref().is_some_and(|next| Some(next.stage) == stage);
                let meant = next.take_if(|_| is_now);
                drop(next);
                let answer = meant.map_or_else(|| "DUNNO".to_owned(), |next| (next.answer)());
                write!(out, "action={answer}\n\n").ok()?;
            }
            _ => {}
        }
    }
    None
}
