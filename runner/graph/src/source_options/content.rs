//! Options about the bytes of files.

use super::OptionReader;
use crate::origin::Diagnostic;

/// How text is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TextEncoding {
    /// And US-ASCII, which is part of it.
    #[default]
    Utf8,
    /// With a byte order mark, else big-endian.
    Utf16,
    /// Little-endian.
    Utf16Le,
    /// Big-endian.
    Utf16Be,
    /// ISO-8859-1.
    Latin1,
    /// Western European of Windows.
    Windows1252,
}

impl OptionReader<'_> {
    pub(super) fn encoding(&mut self) -> TextEncoding {
        let key = if self.options.contains_key("encoding") { "encoding" } else { "charset" };
        let Some(name) = self.text(key) else { return TextEncoding::Utf8 };
        match name.to_lowercase().replace('_', "-").as_str() {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => TextEncoding::Utf8,
            "utf-16" | "utf16" => TextEncoding::Utf16,
            "utf-16le" => TextEncoding::Utf16Le,
            "utf-16be" => TextEncoding::Utf16Be,
            "iso-8859-1" | "latin1" => TextEncoding::Latin1,
            "windows-1252" | "cp1252" => TextEncoding::Windows1252,
            _ => {
                let found = Diagnostic::not_supported(&format!("`{} => '{name}'` of read_files", self.spelled(key)));
                self.find(key, found.help("use UTF-8, UTF-16, UTF-16LE, UTF-16BE, ISO-8859-1 or windows-1252"));
                TextEncoding::Utf8
            }
        }
    }
}
