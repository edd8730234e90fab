//! Bodies of responses, as a registry may send them.

use std::io::Write as _;

use super::*;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// 200 MiB of spaces in about 204 kB of gzip.
#[test]
fn a_body_that_explodes_is_refused() {
    let bomb = gzip(&vec![b' '; 200 << 20]);
    assert!(bomb.len() < 210_000, "{}", bomb.len());
    let limits = BodyLimits::default();
    assert!(matches!(decompress(&bomb, limits), Err(ReadError::TooDense)));
    let any_ratio = BodyLimits { ratio: u32::MAX, ..limits };
    assert!(matches!(decompress(&bomb, any_ratio), Err(ReadError::TooLarge)));
    let raised = BodyLimits { size: 200 << 20, ..any_ratio };
    assert_eq!(decompress(&bomb, raised).map(|plain| plain.len()).ok(), Some(200 << 20));
}

#[test]
fn a_small_body_may_be_compressed_well() {
    let small = gzip(&vec![b' '; 1 << 20]);
    assert_eq!(decompress(&small, BodyLimits::default()).map(|plain| plain.len()).ok(), Some(1 << 20));
}
