//! Tasks with many entries: the options are given for the task, and again for each entry.

use ansible_contract::{Each, codes as args};
use fault::{Fault, Result};

/// Options of a task that may have many entries, as [`layered_options`](crate::layered_options) declares them.
pub trait Layered: Default {
    /// The option that lists the entries.
    const LIST: &'static str;

    /// Takes the entries out.
    fn take_list(&mut self) -> Option<Vec<Each<Self>>>;

    /// Whether it lists entries.
    fn has_list(&self) -> bool;

    /// These options, and where one is not given, that of `base`. Lists replace.
    fn laid_over(self, base: &Self) -> Self;
}

/// The entries of a task: what they share, and what each has of its own.
#[derive(Debug)]
pub struct Entries<O> {
    /// The task's own options.
    pub shared: O,
    // Each is in a box: they are large, there may be thousands, and each is freed when it is done.
    own: Vec<Each<O>>,
}

impl<O: Layered> Entries<O> {
    /// The task itself is the one entry, unless it lists some.
    ///
    /// # Errors
    /// `args.unknown_option` for entries within entries.
    pub fn new(mut options: O) -> Result<Self> {
        let Some(own) = options.take_list() else {
            return Ok(Self { shared: O::default(), own: vec![Each::Read(Box::new(options))] });
        };
        if let Some(at) = own.iter().position(|entry| entry.read().is_some_and(O::has_list)) {
            let list = O::LIST;
            return Err(Fault::new(args::UNKNOWN_OPTION, format!("The option {list}[{at}].{list} does not exist."))
                .hint(format!("List all {list} in the one option {list} of the task.")));
        }
        Ok(Self { shared: options, own })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.own.len()
    }

    /// Those that could be read, each with its place in the list.
    pub fn read(&self) -> impl Iterator<Item = (usize, &O)> {
        self.own.iter().enumerate().filter_map(|(at, own)| Some((at, own.read()?)))
    }

    /// Why the first of those that cannot be meant cannot.
    pub fn refused(&self) -> Option<Fault> {
        self.own.iter().enumerate().find_map(|(at, own)| match own {
            Each::Refused(refused) => Some(refused.fault(&place::<O>(at))),
            Each::Read(_) => None,
        })
    }

    /// All options of each, as `lay` makes them of its own and the task's; or its label and why it cannot be meant. Made one
    /// after the other: there may be thousands.
    pub fn each(
        self,
        lay: impl Fn(O, &O) -> O,
    ) -> impl ExactSizeIterator<Item = std::result::Result<O, (Option<String>, Fault)>> {
        let Self { shared, own } = self;
        own.into_iter().enumerate().map(move |(at, own)| match own {
            Each::Refused(refused) => Err((refused.label().map(ToOwned::to_owned), refused.fault(&place::<O>(at)))),
            Each::Read(own) => Ok(lay(*own, &shared)),
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
            pub $list: Option<Vec<ansible_contract::Each<$struct>>>,
        }

        impl $crate::Layered for $struct {
            const LIST: &'static str = stringify!($list);

            fn take_list(&mut self) -> Option<Vec<ansible_contract::Each<Self>>> {
                self.$list.take()
            }

            fn has_list(&self) -> bool {
                self.$list.is_some()
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
