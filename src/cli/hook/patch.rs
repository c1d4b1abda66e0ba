//! The files that a patch in the format of `apply_patch` writes.

const HEADERS: [&str; 4] = ["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "];

/// Every file that the patch adds, changes, deletes or moves to.
pub(super) fn files(patch: &str) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    for line in patch.lines() {
        if let Some(path) = HEADERS.iter().find_map(|header| line.trim_start().strip_prefix(header)) {
            let file = path.trim().to_owned();
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    if files.is_empty() { Err("the patch names no file".to_owned()) } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_patch_is_found() {
        let patch = "*** Begin Patch\n*** Update File: a.rs\n*** Move to: b.rs\n@@\n-x\n+y\n*** Add File: c\n+1\n\
                     *** Delete File: d\n*** End Patch";
        assert_eq!(files(patch).unwrap(), ["a.rs", "b.rs", "c", "d"]);
        assert!(files("*** Begin Patch\n*** End Patch").is_err());
    }
}
