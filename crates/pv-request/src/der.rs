//! The little of DER (X.690) that OpenSSL's safe interface does not show: where a value ends and what is in it.

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTETS: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
}

impl<'a> Value<'a> {
    /// The values in this one, if it is of that tag.
    pub(crate) fn parts(self, tag: u8) -> Option<Values<'a>> {
        (self.tag == tag).then_some(Values(self.content))
    }
}

/// Values one after the other. They end where something is that is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a>(pub(crate) &'a [u8]);

impl<'a> Values<'a> {
    /// Takes the next value if it has this tag.
    pub(crate) fn of_tag(&mut self, tag: u8) -> Option<Value<'a>> {
        let mut rest = *self;
        let value = rest.next().filter(|value| value.tag == tag)?;
        *self = rest;
        Some(value)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        // Tags in several bytes and lengths without end do not occur in DER that is read here.
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Value { tag: *tag, content })
    }
}

/// Splits what follows the first value from it. Blank space up to the end is nothing: editors and shells append it.
pub(crate) fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = Values(bytes);
    rest.next()?;
    let (first, behind) = bytes.split_at_checked(bytes.len() - rest.0.len())?;
    Some((first, if behind.trim_ascii().is_empty() { &[] } else { behind }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_one_after_the_other_until_one_is_cut_off() {
        let bytes = [0x30, 3, 2, 1, 7, 4, 0x81, 2, 8, 9, 5];
        let mut values = Values(&bytes);
        assert_eq!(values.of_tag(INTEGER), None);
        let sequence = values.of_tag(SEQUENCE).unwrap();
        assert_eq!(sequence.parts(SEQUENCE).unwrap().next(), Some(Value { tag: INTEGER, content: &[7] }));
        assert_eq!(values.next(), Some(Value { tag: OCTETS, content: &[8, 9] }));
        assert_eq!((values.next(), values.0), (None, &[5][..]));
        assert_eq!(split_first(&bytes).map(|(first, rest)| (first.len(), rest.len())), Some((5, 6)));
        let behind = |bytes: &'static [u8]| split_first(bytes).map(|(_, rest)| rest);
        assert_eq!(behind(&[4, 1, b'\n']), Some(&[][..]));
        assert_eq!(behind(&[4, 1, b'\n', b'\r', b'\n']), Some(&[][..]));
        assert_eq!(behind(&[4, 1, 7, b'\n', 0]), Some(&[b'\n', 0][..]));
        for cut in [&[0x30][..], &[0x30, 2, 1], &[0x30, 0x80, 0, 0], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[]] {
            assert_eq!(Values(cut).next(), None, "{cut:?}");
        }
    }
}
