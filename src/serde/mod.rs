//! Your own types as values, with [serde](https://serde.rs): [`Json`] for values that hold JSON, and [`Row`] for structs that
//! are stored as hashes.
//!
//! ```no_run
//! use hitless::serde::{Json, Row};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct User {
//!     name: String,
//!     visits: u64,
//!     email: Option<String>,
//! }
//!
//! # async fn example(client: &hitless::Client, user: User) -> hitless::Result<()> {
//! client.set("user:1:json", Json::encode(&user)?).await?;
//! let Json(user): Json<User> = client.get("user:1:json").await?;
//!
//! client.hset("user:1", Row::encode(&user)?).await?;
//! let found: Option<Row<User>> = client.hgetall("user:1").await?;
//! # let _ = found;
//! # Ok(())
//! # }
//! ```

mod field_value;
mod json;
mod row;

pub use self::json::Json;
pub use self::row::{Fields, Row};

use crate::error::{Error, ErrorKind};
use crate::proto::error::Outcome;

/// The error for a value that cannot be encoded. The command is not sent.
fn unencodable(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Encode, Outcome::Unsent, format!("the value cannot be encoded: {error}"))
}
