//! How much room there is: on the file system, and of what the journal may have.

/// What a file system has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes it has altogether.
    pub size: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Files it can hold altogether; 0 if it does not count them.
    pub files: u64,
    /// How many more it can hold.
    pub free_files: u64,
}

/// How far the room goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Space {
    /// There is enough.
    #[default]
    Ok,
    /// Peers are asked to wait, so that what is submitted here still finds room.
    Low,
    /// Nothing more is taken in. What is there is still worked on, and its ends
    /// are recorded.
    Full,
}

/// What is left free for the ends of what is there, and for everybody else.
const MARGIN: u64 = 64 << 20;
/// The same, in files.
const MARGIN_FILES: u64 = 1024;
/// On a small file system, the margin is this part of it.
const PART: u64 = 16;

impl Room {
    /// What it is told to be by `statvfs`.
    pub(crate) fn of(stat: &rustix::fs::StatVfs) -> Self {
        Self {
            size: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            files: stat.f_files,
            free_files: stat.f_favail,
        }
    }

    /// Judges by what is free alone.
    pub fn space(&self) -> Space {
        self.bytes().max(self.inodes())
    }

    /// Judges by the bytes.
    pub(crate) fn bytes(&self) -> Space {
        judge(self.free, MARGIN.min(self.size / PART))
    }

    fn inodes(&self) -> Space {
        match self.files {
            0 => Space::Ok,
            files => judge(self.free_files, MARGIN_FILES.min(files / PART).max(1)),
        }
    }
}

fn judge(free: u64, margin: u64) -> Space {
    if free < margin {
        Space::Full
    } else if free < 2 * margin {
        Space::Low
    } else {
        Space::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_comes_before_full_and_files_count_like_bytes() {
        let room = |free, free_files| Room {
            size: 100 << 30,
            free,
            files: 1 << 20,
            free_files,
        };
        let small = |free, free_files| Room {
            size: 64 << 20,
            free,
            files: 64,
            free_files,
        };
        for (name, room, want) in [
            ("plenty", room(10 << 30, 100_000), Space::Ok),
            ("bytes low", room(100 << 20, 100_000), Space::Low),
            ("bytes gone", room(60 << 20, 100_000), Space::Full),
            ("files low", room(10 << 30, 2000), Space::Low),
            ("files gone", room(10 << 30, 1000), Space::Full),
            ("a small disk", small(50 << 20, 50), Space::Ok),
            ("a small disk, low", small(7 << 20, 50), Space::Low),
            ("a small disk, gone", small(3 << 20, 50), Space::Full),
            ("a small disk, files low", small(50 << 20, 6), Space::Low),
            ("a small disk, files gone", small(50 << 20, 3), Space::Full),
        ] {
            assert_eq!(room.space(), want, "{name}");
        }
        let uncounted = Room {
            files: 0,
            free_files: 0,
            ..room(10 << 30, 0)
        };
        assert_eq!(uncounted.space(), Space::Ok);
    }
}
