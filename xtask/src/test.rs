//! Every check.
/// TODO
pub fn test() -> anyhow::Result<()> {
    crate::prepare::prepare()
}
