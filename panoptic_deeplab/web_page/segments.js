// Segments from the outputs of an exported file, whatever ran it.

// outputs: typed arrays by name, of one image.
export function segmentsOf(outputs) {
  return Array.from({ length: outputs.segment_count[0] }, (_, i) => ({
    id: i + 1,
    category: outputs.segment_class[i],
    score: outputs.segment_score[i],
    area: outputs.segment_area[i],
  }));
}
