//! The cards that the cases of `tests/guest/scenarios.yaml` are for: in simulated guests, and in front of real kernels.

/// The master key of the first queue and of that of the second EP11 card.
pub const KEY_A: &str = "00112233445566778899aabbccddeeff";
/// That of the second queue.
pub const KEY_B: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf";

/// Two EP11 cards, an accelerator, and a CCA card that hangs whoever reads from it.
pub const CARDS: &str = r#"
delays: {cca_read_ms: 600000}
cards:
  "00":
    type: CEX8P
    serialnr: 93AADFK719460083
    queues: {"0005": {mkvp: "00112233445566778899aabbccddeeff"}, "0006": {mkvp: "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"}}
  "01": {type: CEX8A, queues: {"0005": {}, "0006": {}}}
  "02":
    type: CEX8P
    serialnr: 93AADFK719460084
    queues: {"0005": {mkvp: "00112233445566778899aabbccddeeff"}}
  "03": {type: CEX8C, queues: {"0005": {mkvp: "0011223344556677"}}}
"#;
