//! [`CommandName`]: the name of a command, kept with its reply for error messages.

/// A command's name, at most 23 bytes of it. It is a plain value, so that keeping it with a reply allocates nothing.
#[derive(Clone, Copy)]
pub(crate) struct CommandName {
    bytes: [u8; NAME_MAX],
    length: u8,
}

impl CommandName {
    pub(crate) const fn new(name: &str) -> Self {
        let mut length = if name.len() < NAME_MAX { name.len() } else { NAME_MAX };
        while !name.is_char_boundary(length) {
            length -= 1;
        }
        let mut bytes = [0; NAME_MAX];
        let (kept, _) = name.as_bytes().split_at(length);
        bytes.split_at_mut(length).0.copy_from_slice(kept);
        CommandName { bytes, length: length as u8 }
    }

    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// With its length, a name takes 24 bytes.
const NAME_MAX: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(CommandName::new("GET").as_str(), "GET");
        assert_eq!(CommandName::new(&"x".repeat(40)).as_str(), "x".repeat(23));
        let name = format!("{}é", "x".repeat(22));
        assert_eq!(CommandName::new(&name).as_str(), "x".repeat(22));
    }
}
