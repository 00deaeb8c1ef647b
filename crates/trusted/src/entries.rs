//! Tasks with many entries: the options are given for the task, and again for each entry.

use ansible_contract::{Each, codes as args};
use fault::{Fault, Result};
use std::iter::Enumerate;
use std::slice;
use std::vec::IntoIter;

/// Options of a task that may have many entries, as [`layered_options`](crate::layered_options) declares them.
pub trait Layered: Default {
    /// The option that lists the entries.
    const LIST: &'static str;

    /// Takes the entries out.
    fn take_list(&mut self) -> Option<Vec<Each<Self>>>;

    /// These options, and where one is not given, that of `base`. Lists replace.
    fn laid_over(self, base: &Self) -> Self;
}

/// The entries of a task, each with what it has of its own.
#[derive(Debug)]
pub struct Entries<O>(Vec<Each<O>>);

/// An entry that cannot be meant: it is refused, and the others are done.
#[derive(Debug)]
pub struct Unreadable {
    /// The entry's label, if it has one.
    pub label: Option<String>,
    /// Why.
    pub fault: Fault,
}

/// What the entries of a task share, and what each has of its own. The task itself is the one entry, unless it lists some.
///
/// # Errors
/// `args.unknown_option` for entries within entries.
pub fn entries<O: Layered>(mut options: O) -> Result<(O, Entries<O>)> {
    let Some(mut own) = options.take_list() else {
        return Ok((O::default(), Entries(vec![Each::Read(Box::new(options))])));
    };
    let lists_some = |entry: &mut Each<O>| match entry {
        Each::Read(entry) => entry.take_list().is_some(),
        Each::Refused(_) => false,
    };
    if let Some(at) = own.iter_mut().position(lists_some) {
        let list = O::LIST;
        return Err(Fault::new(args::UNKNOWN_OPTION, format!("The option {list}[{at}].{list} does not exist."))
            .hint(format!("List all {list} in the one option {list} of the task.")));
    }
    Ok((options, Entries(own)))
}

impl<O: Layered> Entries<O> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each that could be read, with its place.
    pub fn read(&self) -> impl Iterator<Item = (usize, &O)> {
        let all: Enumerate<slice::Iter<'_, Each<O>>> = self.0.iter().enumerate();
        all.filter_map(|(at, entry)| Some((at, entry.read()?)))
    }

    /// For tasks that do nothing if one entry cannot be meant.
    ///
    /// # Errors
    /// The `args.*` codes, for the first such entry.
    pub fn refuse_any(&self) -> Result<()> {
        let refused = self.0.iter().enumerate().find_map(|(at, entry)| match entry {
            Each::Refused(refused) => Some(refused.fault(&place::<O>(at))),
            Each::Read(_) => None,
        });
        refused.map_or(Ok(()), Err)
    }

    /// All options of each entry, or why it cannot be meant. Made one after the other: there may be thousands.
    pub fn laid_over(self, shared: O) -> impl ExactSizeIterator<Item = std::result::Result<O, Unreadable>> {
        let all: Enumerate<IntoIter<Each<O>>> = self.0.into_iter().enumerate();
        all.map(move |(at, entry)| match entry {
            Each::Read(own) => Ok(own.laid_over(&shared)),
            Each::Refused(refused) => {
                Err(Unreadable { label: refused.label().map(ToOwned::to_owned), fault: refused.fault(&place::<O>(at)) })
            }
        })
    }
}

/// Where an entry stands among the task's options.
fn place<O: Layered>(at: usize) -> String {
    format!("{}[{at}]", O::LIST)
}

/// Declares the options once: each may be given for the task and again for one of its entries, so each is an
/// `Option`. Where there is a default, a method of the option's name gives its value. The last names the list of entries.
#[macro_export]
macro_rules! layered_options {
    (
        $(#[$struct_meta:meta])*
        struct $struct:ident {
            $($(#[$meta:meta])* $name:ident: $type:ty $(= $default:expr)?,)+
        }
        $(#[$list_meta:meta])*
        list $list:ident
    ) => {
        $(#[$struct_meta])*
        #[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
        #[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
        #[serde(default)]
        pub struct $struct {
            $(
                $(#[$meta])*
                $(#[cfg_attr(feature = "docs", schemars(extend("default" = $default)))])?
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )+
            $(#[$list_meta])*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $list: Option<Vec<$crate::Each<$struct>>>,
        }

        impl $crate::Layered for $struct {
            const LIST: &'static str = stringify!($list);

            fn take_list(&mut self) -> Option<Vec<$crate::Each<Self>>> {
                self.$list.take()
            }

            fn laid_over(self, base: &Self) -> Self {
                Self { $($name: self.$name.or_else(|| base.$name.clone()),)+ $list: None }
            }
        }

        impl $struct {
            $($(
                /// The option's value or its default.
                pub fn $name(&self) -> $type {
                    self.$name.unwrap_or($default)
                }
            )?)+
        }
    };
}
