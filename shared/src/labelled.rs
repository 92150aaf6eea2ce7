//! Closed enums that cross a process boundary as a number and carry their own label and meaning,
//! so that every counter, state and reason can be read from outside without a second table.

/// Declares a `#[repr]` enum whose variants carry a number, a label and a meaning.
#[macro_export]
macro_rules! labelled_enum {
    (
        $(#[$attr:meta])*
        $vis:vis enum $name:ident : $repr:ty {
            $( $variant:ident = $value:literal, $label:literal, $meaning:literal; )+
        }
    ) => {
        $(#[$attr])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[repr($repr)]
        $vis enum $name {
            $( #[doc = $meaning] $variant = $value, )+
        }

        impl $name {
            /// Every variant in the order of its number.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// Stable lower-case name, used in metrics, logs and files.
            pub const fn label(self) -> &'static str {
                match self { $( Self::$variant => $label, )+ }
            }

            /// One sentence for people.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => $meaning, )+ }
            }

            /// The variant with this number, or `None` for a number this build does not know.
            pub const fn from_repr(value: $repr) -> Option<Self> {
                match value { $( $value => Some(Self::$variant), )+ _ => None }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}
