//! Functions on text and bytes.

use crate::function::{Determinism, FunctionSpec, Param as P, Returns as R};

/// Text, regular expressions, encodings, digests.
pub static TEXT: &[FunctionSpec] = &[
    FunctionSpec::scalar("upper", &[P::Text], R::Text, "Upper case.").aliases(&["ucase"]),
    FunctionSpec::scalar("lower", &[P::Text], R::Text, "Lower case.").aliases(&["lcase"]),
    FunctionSpec::scalar("initcap", &[P::Text], R::Text, "First letter of each blank-separated word in upper case, all others in lower case."),
    FunctionSpec::scalar(
        "trim",
        &[P::Text, P::Text],
        R::Text,
        "Blanks (U+0020 only) cut off both ends, or the characters c: trim(t), trim(c, t), trim([BOTH | LEADING | TRAILING] [c] FROM t), btrim(t, c).",
    )
    .optional(1)
    .aliases(&["btrim"]),
    FunctionSpec::scalar("ltrim", &[P::Text, P::Text], R::Text, "As trim, at the start: ltrim(t), ltrim(c, t); SQL gives the characters first.").optional(1),
    FunctionSpec::scalar("rtrim", &[P::Text, P::Text], R::Text, "As trim, at the end: rtrim(t), rtrim(c, t); SQL gives the characters first.").optional(1),
    FunctionSpec::scalar("length", &[P::TextOrBinary], R::Int, "Characters of text, bytes of binary.").aliases(&[
        "len",
        "char_length",
        "character_length",
    ]),
    FunctionSpec::scalar("octet_length", &[P::TextOrBinary], R::Int, "Bytes of the UTF-8 text or the binary."),
    FunctionSpec::scalar("concat", &[P::Any], R::OfTypes(super::collection::concat_type), "All arguments joined: as text (planning casts each to STRING), BINARY if all are, or arrays of one type; NULL if any is NULL. Without arguments the empty text.")
        .optional(1)
        .variadic(),
    FunctionSpec::scalar(
        "concat_ws",
        &[P::Text, P::Any],
        R::Text,
        "Arguments after the separator joined by it; texts and arrays of text; NULL arguments and elements are left out; NULL only for a NULL \
         separator.",
    )
    .optional(1)
    .variadic(),
    FunctionSpec::scalar(
        "substring",
        &[P::TextOrBinary, P::Int, P::Int],
        R::Argument(0),
        "Part from a position (1 = first, 0 counts as 1, negative = from the end) with at most that length (negative = empty).",
    )
    .optional(1)
    .aliases(&["substr"]),
    FunctionSpec::scalar("substring_index", &[P::Text, P::Text, P::Int], R::Text, "Text before the n-th delimiter; n < 0: after the n-th from the end; 0: empty."),
    FunctionSpec::scalar("left", &[P::Text, P::Int], R::Text, "First n characters; empty for n <= 0."),
    FunctionSpec::scalar("right", &[P::Text, P::Int], R::Text, "Last n characters; empty for n <= 0."),
    FunctionSpec::scalar("lpad", &[P::TextOrBinary, P::Int, P::TextOrBinary], R::Argument(0), "Padded on the left to n characters (default pad: blank), or cut to n; BINARY to n bytes (default pad: 0).").optional(1),
    FunctionSpec::scalar("rpad", &[P::TextOrBinary, P::Int, P::TextOrBinary], R::Argument(0), "Padded on the right, as lpad.").optional(1),
    FunctionSpec::scalar("repeat", &[P::Text, P::Int], R::Text, "Text n times; empty for n <= 0."),
    FunctionSpec::scalar("space", &[P::Int], R::Text, "n blanks."),
    FunctionSpec::scalar("replace", &[P::Text, P::Text, P::Text], R::Text, "Every occurrence replaced; without third argument removed; an empty search text changes nothing.")
        .optional(1),
    FunctionSpec::scalar("translate", &[P::Text, P::Text, P::Text], R::Text, "Characters of the second argument become those of the third; without partner they are removed."),
    FunctionSpec::scalar("reverse", &[P::ArrayOrText], R::Argument(0), "Text or array in reverse order."),
    FunctionSpec::scalar("instr", &[P::Text, P::Text], R::Int, "Position of the first occurrence, 0 if absent."),
    FunctionSpec::scalar("locate", &[P::Text, P::Text, P::Int], R::Int, "locate(part, text[, start]): position of the first occurrence from start, 0 if absent.")
        .optional(1)
        .aliases(&["position", "charindex"]),
    FunctionSpec::scalar("contains", &[P::TextOrBinary, P::TextOrBinary], R::Boolean, "The first contains the second."),
    FunctionSpec::scalar("startswith", &[P::TextOrBinary, P::TextOrBinary], R::Boolean, "The first starts with the second."),
    FunctionSpec::scalar("endswith", &[P::TextOrBinary, P::TextOrBinary], R::Boolean, "The first ends with the second."),
    FunctionSpec::scalar("ascii", &[P::Text], R::Int, "Code point of the first character, 0 for empty text."),
    FunctionSpec::scalar("char", &[P::Long], R::Text, "Character with the code n % 256; empty for n < 0.").aliases(&["chr"]),
    FunctionSpec::scalar(
        "split",
        &[P::Text, P::Text, P::Int],
        R::Custom(|_, _| Ok(crate::function::signature::array_of(datafusion_common::arrow::datatypes::DataType::Utf8))),
        "Text split at matches of a regular expression; limit > 0: at most that many parts; otherwise all, trailing empty parts kept.",
    )
    .optional(1),
    FunctionSpec::scalar(
        "split_part",
        &[P::Text, P::Text, P::Int],
        R::Text,
        "Part n of the text split at a literal delimiter, n < 0 from the end; empty out of range; n = 0 is [INVALID_INDEX_OF_ZERO].",
    ),
    FunctionSpec::scalar(
        "regexp_extract",
        &[P::Text, P::Text, P::Int],
        R::Text,
        "Group n (default 1) of the first match; empty text without a match or where the group took no part. A group that the pattern does not \
         have is [INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX].",
    )
    .optional(1),
    FunctionSpec::scalar(
        "regexp_extract_all",
        &[P::Text, P::Text, P::Int],
        R::Custom(|_, _| Ok(crate::function::signature::array_of(datafusion_common::arrow::datatypes::DataType::Utf8))),
        "Group n (default 1) of all matches.",
    )
    .optional(1),
    FunctionSpec::scalar("regexp_replace", &[P::Text, P::Text, P::Text, P::Int], R::Text, "All matches replaced from a position (default 1) on; $1 is a group in the replacement.")
        .optional(1),
    FunctionSpec::scalar("regexp_count", &[P::Text, P::Text], R::Int, "Number of matches."),
    FunctionSpec::scalar("levenshtein", &[P::Text, P::Text, P::Int], R::Int, "Edit distance in characters; -1 if it is greater than the third.").optional(1),
    FunctionSpec::scalar("base64", &[P::Binary], R::Text, "Base64 text of the bytes (standard alphabet, padded); text is taken as UTF-8."),
    FunctionSpec::scalar("unbase64", &[P::Text], R::Binary, "Bytes of base64 text; invalid text gives NULL, with ANSI on [CONVERSION_INVALID_INPUT]."),
    FunctionSpec::scalar("hex", &[P::Any], R::Text, "Upper-case hexadecimal text of a BIGINT (without leading zeros), of text as UTF-8, or of bytes."),
    FunctionSpec::scalar("unhex", &[P::Text], R::Binary, "Bytes of hexadecimal text; NULL if it is not."),
    FunctionSpec::scalar("encode", &[P::Text, P::Text], R::Binary, "Bytes of the text in UTF-8, US-ASCII, ISO-8859-1 or UTF-16BE/LE."),
    FunctionSpec::scalar("decode", &[P::Binary, P::Text], R::Text, "Text of bytes in a character set, as encode."),
    FunctionSpec::scalar("md5", &[P::Binary], R::Text, "Lower-case hexadecimal MD5; text is taken as UTF-8."),
    FunctionSpec::scalar("sha1", &[P::Binary], R::Text, "Lower-case hexadecimal SHA-1; text is taken as UTF-8.").aliases(&["sha"]),
    FunctionSpec::scalar("sha2", &[P::Binary, P::Int], R::Text, "Lower-case hexadecimal SHA-2 with 224, 256, 384, 512 bits, 0 = 256; other lengths give NULL."),
    FunctionSpec::scalar("crc32", &[P::Binary], R::Long, "CRC-32 of the bytes."),
    FunctionSpec::scalar("xxhash64", &[P::Any], R::Long, "64-bit xxHash of all arguments with seed 42, NULLs skipped (never NULL), as Spark computes it.").variadic(),
    FunctionSpec::scalar("bit_length", &[P::TextOrBinary], R::Int, "Bits of the UTF-8 text or the binary."),
    FunctionSpec::scalar("find_in_set", &[P::Text, P::Text], R::Int, "Position of a text in a list with commas, from 1; 0 if it is not there or has a comma."),
    FunctionSpec::scalar("overlay", &[P::Text, P::Text, P::Int, P::Int], R::Text, "overlay(text, new, position[, length]): new in the place of length characters (default: as many as new has).")
        .optional(1),
    FunctionSpec::scalar("elt", &[P::Int, P::Text], R::Text, "The n-th of the texts that follow; out of range NULL, with ANSI on [INVALID_ARRAY_INDEX].").variadic(),
    FunctionSpec::scalar(
        "mask",
        &[P::Text, P::Text, P::Text, P::Text, P::Text],
        R::Text,
        "Upper-case letters as X, lower-case as x, digits as n; further arguments replace those, and other characters; NULL keeps a kind.",
    )
    .optional(4),
    FunctionSpec::scalar("soundex", &[P::Text], R::Text, "The Soundex code of an English word."),
    FunctionSpec::scalar("quote", &[P::Text], R::Text, "Text in single quotes, those inside with a backslash."),
    FunctionSpec::scalar("url_encode", &[P::Text], R::Text, "Text as it is written in forms of addresses: %xx, blanks as +."),
    FunctionSpec::scalar("url_decode", &[P::Text], R::Text, "The reverse of url_encode; a broken %xx is [CANNOT_DECODE_URL]."),
    FunctionSpec::scalar("try_url_decode", &[P::Text], R::Text, "As url_decode, NULL for broken text."),
    FunctionSpec::scalar(
        "parse_url",
        &[P::Text, P::Text, P::Text],
        R::Text,
        "Part of an address: HOST, PATH, QUERY, REF, PROTOCOL, FILE, AUTHORITY, USERINFO; with QUERY a third argument names a key. NULL if there is \
         none, or the text is no address, with ANSI on [INVALID_URL].",
    )
    .optional(1),
    FunctionSpec::scalar("try_parse_url", &[P::Text, P::Text, P::Text], R::Text, "As parse_url, NULL for text that is no address.").optional(1),
    FunctionSpec::scalar("is_valid_utf8", &[P::Binary], R::Boolean, "The bytes are text in UTF-8; true for STRING."),
    FunctionSpec::scalar("to_binary", &[P::Text, P::Text], R::Binary, "Bytes of text in hex (default), base64 or utf-8; other text is [CONVERSION_INVALID_INPUT].").optional(1),
    FunctionSpec::scalar("try_to_binary", &[P::Text, P::Text], R::Binary, "As to_binary, NULL for other text.").optional(1),
    FunctionSpec::scalar("regexp_instr", &[P::Text, P::Text], R::Int, "Position of the first match, 0 without one."),
    FunctionSpec::scalar("regexp_substr", &[P::Text, P::Text], R::Text, "The first match, NULL without one."),
    FunctionSpec::scalar("format_string", &[P::Text, P::Any], R::Text, "Text by a pattern of printf: %d %s %f %x %e %c with flags, widths, precision and n$.").optional(1).variadic().aliases(&["printf"]),
    FunctionSpec::scalar("hash", &[P::Any], R::Int, "32-bit Murmur3 of all arguments with seed 42, NULLs skipped (never NULL), as Spark computes it.").variadic(),
    FunctionSpec::scalar("raise_error", &[P::Text], R::OfTypes(|_| datafusion_common::arrow::datatypes::DataType::Null), "Fails the query with [USER_RAISED_EXCEPTION] and the text."),
    FunctionSpec::scalar("assert_true", &[P::Boolean, P::Text], R::OfTypes(|_| datafusion_common::arrow::datatypes::DataType::Null), "NULL if true, else the query fails with [USER_RAISED_EXCEPTION] and the text.")
        .optional(1),
    FunctionSpec::scalar("uuid", &[], R::Text, "A random UUID (version 4).").determinism(Determinism::Random),
];
