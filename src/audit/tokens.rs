//! The table of tokens that admins created. It has the hash of each secret, never the secret.
//!
//! The tokens are in the store, not in a separate file. So one transaction changes a token and records the change. No
//! token exists without a record of who created it, and no token works after the record of its revocation.

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::state::Tx;
use crate::domain::{Digest, Role, Timestamp, TokenId};
use crate::store::error::{StoreError, TxError, damaged};
use crate::store::reader::Reader;
use crate::store::table::{Bytes, TableDef};

/// The table.
pub(crate) const TOKENS: TableDef<&[u8; 16], Bytes> = TableDef::source("tokens");

/// A token that an admin created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredToken {
    /// Its name.
    pub token_id: TokenId,
    /// The SHA-256 of the token. The token has 256 random bits, so a slow hash would add no protection.
    pub hash: Digest,
    /// The name of its holder, as on the record.
    pub subject: String,
    /// What its holder may do.
    pub roles: Vec<Role>,
    /// The one actor that its holder may act for; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: String,
    /// When it expires; `None` means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Tx<'_> {
    /// Stores a token, and replaces one with the same id.
    pub fn put_token(&mut self, token: &StoredToken) -> Result<(), TxError> {
        let value = serde_json::to_vec(token).map_err(crate::domain::ParamsError::from)?;
        self.tables.tokens.insert(token.token_id.as_bytes(), value.as_slice())?;
        Ok(())
    }

    /// Deletes a token and returns it, if it exists.
    pub fn remove_token(&mut self, token_id: TokenId) -> Result<Option<StoredToken>, TxError> {
        let tokens = &mut self.tables.tokens;
        let Some(stored) = tokens.read()?.get(token_id.as_bytes())?.map(|value| decode(value.value())) else {
            return Ok(None);
        };
        let stored = stored.map_err(TxError::Corrupt)?;
        tokens.remove(token_id.as_bytes())?;
        Ok(Some(stored))
    }

    /// Every token, by id.
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
    /// Every token, by id: the oldest first.
    pub fn tokens(&self) -> Result<Vec<StoredToken>, StoreError> {
        // A store from before tokens existed has no such table.
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
