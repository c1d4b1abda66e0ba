//! A witness over HTTP: c2sp.org/tlog-witness, `add-checkpoint`.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::audit::Store;
use crate::audit::checkpoint::{SignedCheckpoint, proof_lines};
use crate::audit::note::{Note, NoteSignature, VerifierKey};
use crate::outbound::fetch::{Bounds, Client, Url};

/// The limits of a request.
const BOUNDS: Bounds = Bounds { max_bytes: 64 << 10, timeout: Duration::from_secs(10) };

/// A witness that cosigns.
pub(super) struct HttpWitness {
    client: Client,
    url: Url,
    key: VerifierKey,
    /// The size of the last checkpoint that the witness cosigned, as far as known. If it is wrong, the witness answers
    /// with the right one.
    size: u64,
}

impl HttpWitness {
    pub(super) fn new(client: Client, url: Url, key: VerifierKey) -> Self {
        Self { client, url, key, size: 0 }
    }

    pub(super) fn name(&self) -> String {
        self.key.name().to_owned()
    }

    /// Asks the witness to cosign a checkpoint. Returns the checkpoint with the signatures of the log and the witness.
    pub(super) async fn hand(
        &mut self,
        checkpoint: &SignedCheckpoint,
        store: &Store,
    ) -> Result<SignedCheckpoint, String> {
        let size = checkpoint.checkpoint.size;
        // A second attempt, with the size that the witness has sent.
        for _ in 0..2 {
            let old = self.size.min(size);
            let proof = store.scan(move |reader| reader.consistency_proof(old, size)).await;
            let proof = proof.map_err(|error| error.to_string())?;
            let body = format!("old {old}\n{}\n{checkpoint}", proof_lines(&proof));
            let answer = self.client.post(&self.url, "text/plain; charset=utf-8", Bytes::from(body), BOUNDS).await;
            let answer = answer.map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&answer.body);
            match answer.status {
                StatusCode::OK => {
                    let cosigned = self.cosigned(checkpoint, &text)?;
                    self.size = size;
                    return Ok(cosigned);
                }
                StatusCode::CONFLICT => {
                    let seen: u64 =
                        text.trim().parse().map_err(|_| "it has another size (409), but sends no valid one")?;
                    if seen > size {
                        return Err(format!(
                            "it has cosigned a checkpoint of {seen} records, and there are only {size}: the record \
                             is an older copy, or was cut off"
                        ));
                    }
                    self.size = seen;
                }
                StatusCode::UNPROCESSABLE_ENTITY => {
                    return Err(format!(
                        "it says that the record does not continue the {old} records that it has seen (422): the \
                         record was changed, or an older copy was continued"
                    ));
                }
                StatusCode::NOT_FOUND => {
                    return Err("it does not know the log (404): register its key there".to_owned());
                }
                StatusCode::FORBIDDEN => {
                    return Err("it does not know the signing key (403): register the log's key there".to_owned());
                }
                status => return Err(format!("{} answers {status}", self.url)),
            }
        }
        Err("it answers twice that it has another size (409)".to_owned())
    }

    /// The checkpoint with the signatures in the response that the witness's key made.
    fn cosigned(&self, checkpoint: &SignedCheckpoint, lines: &str) -> Result<SignedCheckpoint, String> {
        let mut signatures = Vec::new();
        for line in lines.lines() {
            let signature = NoteSignature::from_line(line).map_err(|error| format!("its answer: {error}"))?;
            if signature.names(&self.key) {
                signatures.push(signature);
            }
        }
        let cosigned = Note { text: checkpoint.note.text.clone(), signatures };
        cosigned.verify(std::slice::from_ref(&self.key)).map_err(|error| format!("its answer: {error}"))?;
        let mut note = checkpoint.note.clone();
        note.signatures.extend(cosigned.signatures);
        Ok(SignedCheckpoint { checkpoint: checkpoint.checkpoint.clone(), note })
    }
}
