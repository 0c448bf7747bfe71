//! Printing a dict key by key. What is empty or has its default is left out.

use std::collections::BTreeMap;

use bstr::BString;

use crate::python::{print_float, print_str};

/// A dict being printed.
pub(super) struct Dict<'a> {
    pub(super) out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Dict<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    pub(super) fn key(&mut self, key: impl AsRef<[u8]>) {
        if !self.empty {
            self.out.extend(b", ");
        }
        self.empty = false;
        print_str(key.as_ref(), self.out);
        self.out.extend(b": ");
    }

    pub(super) fn text(&mut self, key: &str, text: &[u8]) {
        if !text.is_empty() {
            self.key(key);
            print_str(text, self.out);
        }
    }

    pub(super) fn float(&mut self, key: &str, number: f64) {
        if number != 0.0 && number.is_finite() {
            self.key(key);
            print_float(number, self.out);
        }
    }

    /// 0 is what nobody set, 1 is the default.
    pub(super) fn attempts(&mut self, attempts: u32) {
        if attempts > 1 {
            self.key("max_check_attempts");
            self.out.extend(attempts.to_string().bytes());
        }
    }

    pub(super) fn list(&mut self, key: &str, texts: &[BString]) {
        if texts.is_empty() {
            return;
        }
        self.key(key);
        for (index, text) in texts.iter().enumerate() {
            self.out.extend(if index == 0 { &b"["[..] } else { b", " });
            print_str(text, self.out);
        }
        self.out.push(b']');
    }

    pub(super) fn texts(&mut self, key: &str, texts: &BTreeMap<BString, BString>) {
        if texts.is_empty() {
            return;
        }
        self.key(key);
        let mut dict = Dict::open(self.out);
        for (name, text) in texts {
            dict.key(name);
            print_str(text, dict.out);
        }
        dict.close();
    }
}
