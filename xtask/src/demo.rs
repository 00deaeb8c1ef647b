//! The demonstration.
/// TODO
pub fn demo() -> anyhow::Result<()> {
    crate::prepare::prepare()
}
