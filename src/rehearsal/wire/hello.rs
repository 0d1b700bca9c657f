//! The arguments of `HELLO`, read once for both uses: the in-memory server obeys them, and the proxy notes what they
//! change when upstream accepts them.

use super::number::parse_i64;
use super::reply::{ErrorReply, Protocol};
use super::request::Args;

/// What a `HELLO` asks for.
pub(crate) struct Hello<'a> {
    pub(crate) protocol: Option<Protocol>,
    pub(crate) credentials: Option<(&'a [u8], &'a [u8])>,
    pub(crate) name: Option<&'a [u8]>,
}

impl<'a> Hello<'a> {
    pub(crate) fn parse(args: Args<'a>) -> Result<Self, ErrorReply> {
        let mut hello = Self { protocol: None, credentials: None, name: None };
        if let Some(version) = args.get(1) {
            let version =
                parse_i64(version).ok_or("ERR Protocol version is not an integer or out of range")?;
            hello.protocol = Some(match version {
                2 => Protocol::Resp2,
                3 => Protocol::Resp3,
                _ => return Err("NOPROTO unsupported protocol version".into()),
            });
        }
        let mut rest = args.from(2);
        while let Some(option) = rest.get(0) {
            rest = match (rest.get(1), rest.get(2)) {
                (Some(user), Some(password)) if option.eq_ignore_ascii_case(b"AUTH") => {
                    hello.credentials = Some((user, password));
                    rest.from(3)
                }
                (Some(name), _) if option.eq_ignore_ascii_case(b"SETNAME") => {
                    hello.name = Some(name);
                    rest.from(2)
                }
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
                }
            };
        }
        Ok(hello)
    }
}
