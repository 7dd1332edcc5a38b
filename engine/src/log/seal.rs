//! Sealing.
use crate::error::Result;
use crate::log::Core;
#[derive(Debug, Default)]
pub(crate) struct Sealer;
/// What sealing did.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct SealReport {}
impl Core {
    pub(crate) fn seal_all(&self) -> Result<SealReport> {
        Ok(SealReport {})
    }
    pub(crate) fn seal_due(&self) -> Result<bool> {
        Ok(false)
    }
}
