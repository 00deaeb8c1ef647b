//! Tasks with many entries: the options are given for the task, and again for each entry.

use ansible_contract::codes as args;
use fault::{Fault, Result};

/// Options of a task that may have many entries, as [`layered_options`](crate::layered_options) declares them.
pub trait Layered: Default {
    /// The option that lists the entries.
    const LIST: &'static str;

    /// Takes the entries out.
    fn take_list(&mut self) -> Option<Vec<Box<Self>>>;

    /// These options, and where one is not given, that of `base`. Lists replace.
    fn laid_over(self, base: &Self) -> Self;
}

/// What the entries of a task share, and what each has of its own. The task itself is the one entry, unless it lists some.
///
/// # Errors
/// `args.unknown_option` for entries within entries.
pub fn entries<O: Layered>(mut options: O) -> Result<(O, Vec<Box<O>>)> {
    let Some(mut own) = options.take_list() else { return Ok((O::default(), vec![Box::new(options)])) };
    if let Some(at) = own.iter_mut().position(|entry| entry.take_list().is_some()) {
        let list = O::LIST;
        return Err(Fault::new(args::UNKNOWN_OPTION, format!("The option {list}[{at}].{list} does not exist."))
            .hint(format!("List all {list} in the one option {list} of the task.")));
    }
    Ok((options, own))
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
            #[cfg_attr(feature = "docs", schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>"))]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $list: Option<Vec<Box<$struct>>>,
        }

        impl $crate::Layered for $struct {
            const LIST: &'static str = stringify!($list);

            fn take_list(&mut self) -> Option<Vec<Box<Self>>> {
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
