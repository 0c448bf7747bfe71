//! Lines out of a stream of bytes, in bounded memory.

use memchr::memchr;

/// A line, or a piece of one that is too long to be held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line, without its line feed.
    Whole(&'a [u8]),
    /// What stood after the last line feed when the stream ended.
    Last(&'a [u8]),
    /// A piece of a line longer than the limit, with the line feed if it `ends` it.
    TooLong { piece: &'a [u8], ends: bool },
}

#[derive(Debug)]
pub(crate) struct Lines {
    limit: usize,
    buffer: Vec<u8>,
    /// Bytes before this have been handed out.
    start: usize,
    /// Bytes before this hold no line feed; start <= scanned <= buffer.len().
    scanned: usize,
    /// Where the line handed out last began.
    previous: usize,
    /// Whether `start` lies in a line that is too long.
    inside_long: bool,
    finished: bool,
}

impl Lines {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            previous: 0,
            inside_long: false,
            finished: false,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        (self.start, self.previous) = (0, 0);
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether bytes of an unfinished line are held.
    pub(crate) fn is_inside_line(&self) -> bool {
        self.inside_long || self.start < self.buffer.len()
    }

    /// Puts the line handed out last back, so that it comes again. Only before
    /// the next `push`, and not for pieces.
    pub(crate) fn unread(&mut self) {
        self.start = self.previous;
        self.scanned = self.start;
    }

    pub(crate) fn next_line(&mut self) -> Option<Line<'_>> {
        self.previous = self.start;
        let feed = memchr(b'\n', &self.buffer[self.scanned..]).map(|at| self.scanned + at);
        let (from, end) = (self.start, feed.unwrap_or(self.buffer.len()));
        if self.inside_long || end - from > self.limit {
            let end = feed.map_or(end, |at| at + 1);
            self.inside_long = feed.is_none() && !self.finished;
            (self.start, self.scanned) = (end, end);
            let ends = !self.inside_long;
            return (from < end || ends).then(|| Line::TooLong {
                piece: &self.buffer[from..end],
                ends,
            });
        }
        if feed.is_some() {
            (self.start, self.scanned) = (end + 1, end + 1);
            return Some(Line::Whole(&self.buffer[from..end]));
        }
        self.scanned = end;
        if self.finished && from < end {
            self.start = end;
            return Some(Line::Last(&self.buffer[from..end]));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(limit: usize, chunks: &[&[u8]], finish: bool) -> Vec<String> {
        let mut lines = Lines::new(limit);
        let mut out = Vec::new();
        let mut drain = |lines: &mut Lines| {
            while let Some(line) = lines.next_line() {
                out.push(match line {
                    Line::Whole(text) => format!("whole {}", bstr::BStr::new(text)),
                    Line::Last(text) => format!("last {}", bstr::BStr::new(text)),
                    Line::TooLong { ends: true, .. } => "long end".to_owned(),
                    Line::TooLong { .. } => "long".to_owned(),
                });
            }
        };
        for chunk in chunks {
            lines.push(chunk);
            drain(&mut lines);
        }
        if finish {
            lines.finish();
            drain(&mut lines);
        }
        out
    }

    #[test]
    fn lines_come_out_whatever_the_split() {
        let want = ["whole a", "whole ", "whole bcd", "last ef"];
        assert_eq!(read(8, &[b"a\n\nbcd\nef"], true), want);
        let single: Vec<&[u8]> = b"a\n\nbcd\nef".chunks(1).collect();
        assert_eq!(read(8, &single, true), want);
        assert_eq!(read(8, &single, false), want[..3]);
    }

    #[test]
    fn a_line_that_is_too_long_is_let_through_in_pieces() {
        assert_eq!(read(3, &[b"abcd\nef\n"], false), ["long end", "whole ef"]);
        assert_eq!(
            read(3, &[b"abcd", b"ef", b"g\nhi\n"], false),
            ["long", "long", "long end", "whole hi"]
        );
        assert_eq!(read(3, &[b"abcd"], true), ["long", "long end"]);
        assert_eq!(read(3, &[b"abc\n"], true), ["whole abc"]);
    }

    #[test]
    fn an_unread_line_comes_again() {
        let mut lines = Lines::new(8);
        lines.push(b"a\nb\n");
        assert_eq!(lines.next_line(), Some(Line::Whole(b"a")));
        assert_eq!(lines.next_line(), Some(Line::Whole(b"b")));
        lines.unread();
        assert_eq!(lines.next_line(), Some(Line::Whole(b"b")));
        assert_eq!(lines.next_line(), None);
    }
}
