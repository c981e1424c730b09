//! Small files that are read as a whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longest file in bytes: what the API server takes of an object.
const LONGEST: u64 = 1024 * 1024;

/// Reads a file of at most 1 MiB. The error is the message without the file's name.
pub(super) fn read_small(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    // Not its length is asked for: a device and a pipe have none, and may never end.
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("found more than {LONGEST} bytes, allowed: {LONGEST}"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused_and_one_within_the_limit_read() {
        let said = read_small(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(said, "found more than 1048576 bytes, allowed: 1048576");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'a'; LONGEST as usize]).unwrap();
        assert_eq!(read_small(file.path()).map(|bytes| bytes.len() as u64), Ok(LONGEST));
        assert!(read_small(Path::new("nowhere")).unwrap_err().starts_with("cannot be read: "));
    }
}
