//! Tokens that admins made, as the store keeps them: by name, with the hash of the secret and never the secret.
//!
//! They live in the store, and not in a file beside it, so that making or revoking one and saying so on the record is
//! one transaction: there is no token without a record of who made it, and none that is revoked on the record and
//! works.

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::state::Tx;
use crate::domain::{Digest, Role, Timestamp, TokenId};
use crate::store::error::{StoreError, TxError, damaged};
use crate::store::reader::Reader;
use crate::store::table::{Bytes, TableDef};

/// The table.
pub(crate) const TOKENS: TableDef<&[u8; 16], Bytes> = TableDef::source("tokens");

/// A token that an admin made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredToken {
    /// Its name.
    pub token_id: TokenId,
    /// The SHA-256 of the token. It has 256 random bits, so that a slow hash would protect nothing more.
    pub hash: Digest,
    /// Who holds it, as the record names them.
    pub subject: String,
    /// What its holder may do.
    pub roles: Vec<Role>,
    /// The one actor that its holder may act for; any, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself; never, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Tx<'_> {
    /// Keeps a token; one of the same name is replaced.
    pub fn put_token(&mut self, token: &StoredToken) -> Result<(), TxError> {
        let value = serde_json::to_vec(token).map_err(crate::domain::ParamsError::from)?;
        self.tables.tokens.insert(token.token_id.as_bytes(), value.as_slice())?;
        Ok(())
    }

    /// Forgets a token. The answer is what it was, where there was one.
    pub fn remove_token(&mut self, token_id: TokenId) -> Result<Option<StoredToken>, TxError> {
        let tokens = &mut self.tables.tokens;
        let Some(stored) = tokens.read()?.get(token_id.as_bytes())?.map(|value| decode(value.value())) else {
            return Ok(None);
        };
        let stored = stored.map_err(TxError::Corrupt)?;
        tokens.remove(token_id.as_bytes())?;
        Ok(Some(stored))
    }

    /// Every token, by name.
    pub fn tokens(&mut self) -> Result<Vec<StoredToken>, TxError> {
        let tokens = self.tables.tokens.read()?;
        let mut all = Vec::new();
        for entry in tokens.iter()? {
            all.push(decode(entry?.1.value()).map_err(TxError::Corrupt)?);
        }
        Ok(all)
    }
}

impl Reader {
    /// Every token, by name: the oldest first.
    pub fn tokens(&self) -> Result<Vec<StoredToken>, StoreError> {
        // A store from before there were tokens has no such table.
        let Some(tokens) = self.table_if_there(TOKENS)? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for entry in tokens.iter()? {
            all.push(decode(entry?.1.value()).map_err(damaged)?);
        }
        Ok(all)
    }
}

fn decode(value: &[u8]) -> Result<StoredToken, String> {
    serde_json::from_slice(value).map_err(|error| format!("a token: {error}"))
}
