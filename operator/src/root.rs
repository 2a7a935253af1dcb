//! Storage roots as places: the folders around one, and whether two overlap. Pure.

/// The root of `uri` and all folders around it, the outermost first. Each ends in a slash, so one is inside another if it begins like it.
pub fn folders(uri: &str) -> Vec<String> {
    let (scheme, path) = uri.split_once("://").unwrap_or(("", uri));
    let mut folder = format!("{scheme}://");
    let mut folders = vec![folder.clone()];
    for part in path.split('/').filter(|part| !part.is_empty()) {
        folder = format!("{folder}{part}/");
        folders.push(folder.clone());
    }
    folders
}

/// True if both are the same folder.
pub fn is_same(a: &str, b: &str) -> bool {
    folders(a).last() == folders(b).last()
}

/// True if one is the other, or lies inside it.
pub fn overlap(a: &str, b: &str) -> bool {
    let is_around = |outer: &[String], inner: &[String]| outer.last().is_some_and(|root| inner.contains(root));
    let (a, b) = (folders(a), folders(b));
    is_around(&a, &b) || is_around(&b, &a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_compared_folder_by_folder() {
        assert_eq!(folders("s3://lake//a/b/"), ["s3://", "s3://lake/", "s3://lake/a/", "s3://lake/a/b/"]);
        for (a, b, same, overlaps) in [
            ("s3://lake/shop", "s3://lake/shop/", true, true),
            ("s3://lake/shop", "s3://lake", false, true),
            ("s3://lake", "s3://lake/shop/inner", false, true),
            ("s3://lake/shop", "s3://lake/shopping", false, false),
            ("s3://lake/shop", "gs://lake/shop", false, false),
            ("file:///", "file:///lake", false, true),
        ] {
            assert_eq!((is_same(a, b), overlap(a, b), overlap(b, a)), (same, overlaps, overlaps), "{a} {b}");
        }
    }
}
