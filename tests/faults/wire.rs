//! Postgres' frames, as a backend sends them (PostgreSQL manual, section 55.7): enough to lose notifications.

/// Cuts a backend's bytes into frames, however they arrive, and drops notifications on demand.
#[derive(Debug, Default)]
pub(crate) struct Notifications {
    /// The beginning of a frame whose end has not come.
    pending: Vec<u8>,
}

/// A frame is a letter, a length that counts itself, and that many bytes less four.
const HEAD: usize = 5;

impl Notifications {
    /// Takes bytes and returns what to pass on: whole frames, notifications left out where they are eaten.
    pub(crate) fn pass(&mut self, bytes: &[u8], eat: bool) -> Vec<u8> {
        self.pending.extend_from_slice(bytes);
        let mut passed = Vec::with_capacity(self.pending.len());
        let mut begin = 0;
        while let Some(frame) = frame(&self.pending[begin..]) {
            if !(eat && frame[0] == b'A') {
                passed.extend_from_slice(frame);
            }
            begin += frame.len();
        }
        self.pending.drain(..begin);
        passed
    }
}

fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let length: [u8; 4] = bytes.get(1..HEAD)?.try_into().unwrap();
    bytes.get(..1 + usize::try_from(u32::from_be_bytes(length)).unwrap())
}

#[test]
fn notifications_are_eaten_and_nothing_else_however_bytes_arrive() {
    let frame = |letter: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[letter], &length[..], body].concat()
    };
    let parts = [
        frame(b'Z', b"I"),
        frame(b'A', b"\0\0\0\x01colloquy\0A\0"),
        frame(b'D', b"AAAAAAAAAAAAAAA"),
        frame(b'A', b""),
        frame(b'C', b"SELECT 1\0"),
    ];
    let all = parts.concat();
    let kept = [&parts[0][..], &parts[2], &parts[4]].concat();
    for size in [1, 2, 5, 7, all.len()] {
        for (eat, wanted) in [(false, &all), (true, &kept)] {
            let mut frames = Notifications::default();
            let passed = all.chunks(size).flat_map(|piece| frames.pass(piece, eat));
            assert_eq!(&passed.collect::<Vec<u8>>(), wanted, "{size} {eat}");
        }
    }
}
