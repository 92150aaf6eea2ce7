//! The mask of a client's frames.

/// Masks a payload into `out`, which has its length.
#[inline]
pub(crate) fn mask(out: &mut [u8], payload: &[u8], mask: [u8; 4]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions, checked above.
        return unsafe { mask_avx2(out, payload, mask) };
    }
    mask_into(out, payload, mask);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn mask_avx2(out: &mut [u8], payload: &[u8], mask: [u8; 4]) {
    mask_into(out, payload, mask);
}

/// Masks a payload, thirty-two bytes a step. The last step overlaps the one before it: what it writes again is the
/// same, and no byte is left for a loop of its own.
#[inline(always)]
fn mask_into(out: &mut [u8], payload: &[u8], mask: [u8; 4]) {
    const STEP: usize = 32;
    let key = |first: usize| -> [u8; STEP] { std::array::from_fn(|i| mask[(first + i) % 4]) };
    let xor = |to: &mut [u8; STEP], from: &[u8; STEP], key: &[u8; STEP]| {
        for i in 0..STEP {
            to[i] = from[i] ^ key[i];
        }
    };
    let whole = key(0);
    let (to, from) = (out.as_chunks_mut::<STEP>().0, payload.as_chunks::<STEP>().0);
    for (to, from) in to.iter_mut().zip(from) {
        xor(to, from, &whole);
    }
    let rest = payload.len() % STEP;
    match (out.last_chunk_mut::<STEP>(), payload.last_chunk::<STEP>()) {
        (Some(to), Some(from)) if rest > 0 => xor(to, from, &key(payload.len() - STEP)),
        (Some(_), Some(_)) => {}
        _ => {
            for ((to, from), key) in out.iter_mut().zip(payload).zip(whole) {
                *to = from ^ key;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_masked_byte_by_byte() {
        let payload: Vec<u8> = (0..300).map(|i| (i * 7) as u8).collect();
        let key = [0x12, 0x34, 0x56, 0x78];
        for len in 0..payload.len() {
            let expected: Vec<u8> =
                payload[..len].iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
            let (mut fast, mut plain) = (vec![0; len], vec![0; len]);
            mask(&mut fast, &payload[..len], key);
            mask_into(&mut plain, &payload[..len], key);
            assert_eq!((&fast, &plain), (&expected, &expected), "{len}");
        }
    }
}
