"""The grouping of Panoptic-DeepLab as an ONNX graph of standard operators.

Two models in ONNX's text form: `preparation` maps images to the network's input, `grouping` maps
its outputs to ids and segments, with the ids of `CenterGrouping`. They are written by hand because
converters support neither histograms nor a stable top-k. The reasons for their form:

- `ScatterND` with `reduction="add"` races in ONNX Runtime where indices repeat; the
  one-dimensional `ScatterElements` does not.
- ONNX Runtime looks single numbers up ten times as fast by `GatherElements` as by `Gather`.
- Sums are of int64: some runtimes add int32 as floats, on GPUs, and lose pixels beyond 2^24.
- Whole numbers that a GPU adds to the same place wait for each other in ONNX Runtime: counting the
  pixels of a map of 1025 x 513 took 3 s on an H100. So counts are scattered as float32, which does
  not wait, over `COPIES` of each place, whose sum is of int64: exact up to 2^24 in each copy.
- OpenVINO's `TopK` is not stable, so it only gives the k-th value; ties are counted.
- OpenVINO drops casts of whole numbers, so none is the last node of an output, which it would name.
- OpenVINO writes beyond the scan outputs of a loop that runs more often than before, and fails on
  nested loops. So all images go through each step at once, with padded rows where there are fewer
  peaks or centers, and the only loop, over blocks of distances, carries its results so far.
- OpenVINO gives shapes of the call before where class maps are sliced; so the classes are padded.
- Runtimes disagree on empty inputs. So a peak of an image after the last and the last pixel, thing
  or not, are appended, which changes no result.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper, parser

from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.normalization import Normalization

BLOCK = 4080
"""Thing pixels whose distances to `BLOCK_CENTERS` are held at a time; to fewer, an odd multiple.

Not a power of two nor an even multiple: the distances of a pixel would share a few cache lines, and
ONNX Runtime's `ArgMin` over them would take four times as long.
"""

BLOCK_CENTERS = 200

COPIES = 16
"""Of each count, that pixels are spread over; GPUs add to different places at the same time."""

LOWEST = float(np.finfo(np.float32).min)
FAR = 1e15  # pixels; its square is finite in float32
IR_VERSION = 8

Constants = Mapping[str, np.ndarray]


def preparation(
    normalization: Normalization, min_size: tuple[int, int], opset: int
) -> onnx.ModelProto:
    """Images `image` [N, H, W, 3] uint8 RGB -> `network_input` [N, 3, P, Q].

    As `Padding` and `Preprocess`: normalized, then padded with 0 at the bottom and the right to at
    least `min_size`. It also gives `image_size` (H, W) and `input_size` (P, Q).

    Args:
        normalization: of the pixels.
        min_size: (height, width).
        opset: version of ONNX's operators.
    """
    constants = {
        "highest_value": np.array([255], np.float32),
        "mean": np.float32(normalization.mean).reshape(1, 3, 1, 1),
        "std": np.float32(normalization.std).reshape(1, 3, 1, 1),
        "min_size": np.array(min_size),
        "height_place": np.array([1]),
        "channel_place": np.array([3]),
        "no_pads": np.zeros(6, np.int64),
    }
    signature = (
        "(uint8[N, H, W, 3] image) => "
        "(float[N, 3, P, Q] network_input, int64[2] image_size, int64[2] input_size)"
    )
    body = """
        image_shape = Shape(image)
        image_size = Slice(image_shape, height_place, channel_place)
        input_size = Max(image_size, min_size)
        missing = Sub(input_size, image_size)
        pads = Concat<axis = 0>(no_pads, missing)
        values = Cast<to = 1>(image)
        channels_first = Transpose<perm = [0, 3, 1, 2]>(values)
        scaled = Div(channels_first, highest_value)
        centered = Sub(scaled, mean)
        normalized = Div(centered, std)
        network_input = Pad(normalized, pads)
    """
    return _model("preparation", signature, constants, body, opset)


def grouping(settings: GroupingSettings, opset: int) -> onnx.ModelProto:
    """The network's outputs -> ids, segments and the semantic map.

    Inputs are `semantic`, `center` and `offset` as the model gives them, `image_size` and
    `input_size`. Outputs, for M = top_k + classes:

    - `panoptic` [N, H, W] int32: 0 void, 1..K;
    - `segment_class` [N, M] int32, `segment_score` [N, M] float32, `segment_area` [N, M] int32:
      row i is the segment with id i + 1; class -1 from row K on;
    - `segment_count` [N] int32: K;
    - `semantic_map` [N, H, W] uint8 (int32 with more than 255 classes): the class by the
      semantic branch alone.
    """
    C, M = settings.num_classes, settings.max_segments
    label_type, label_code = ("uint8", 2) if np.iinfo(np.uint8).max >= C else ("int32", 6)
    signature = f"""
        (float[N, {C}, h, w] semantic, float[N, 1, h, w] center, float[N, 2, h, w] offset,
         int64[2] image_size, int64[2] input_size)
        => (int32[N, H, W] panoptic, int32[N, {M}] segment_class, float[N, {M}] segment_score,
            int32[N, {M}] segment_area, int32[N] segment_count, {label_type}[N, H, W] semantic_map)
    """
    body = f"""
        {_upsampling(settings)}
        input_labels = ArgMax<axis = 1, keepdims = 0>(semantic_input)
        labels = Slice(input_labels, no_start, image_size, map_axes)
        center_full = Slice(center_input, no_start, image_size, spatial_axes)
        offset_full = Slice(offset_input, no_start, image_size, spatial_axes)
        semantic_map = Cast<to = {label_code}>(labels)
        {_peaks(settings.nms_kernel)}
        {_SHARED}
        {_CENTERS}
        {_NEAREST}
        {_VOTE}
        {_TABLE}
        {_SCORES}
    """
    return _model("grouping", signature, _constants(settings), body, opset)


def _upsampling(settings: GroupingSettings) -> str:
    """All maps at the images' size, as `resize_outputs`."""
    mode = "align_corners" if settings.align_corners else "half_pixel"
    names = {"semantic": "class_count", "center": "one", "offset": "two"}
    return "network_shape = Shape(semantic)\n batch = Slice(network_shape, zero, one)" + "".join(
        f"""
        {name}_size = Concat<axis = 0>(batch, {channels}, input_size)
        {name}_input = Resize<mode = "linear", coordinate_transformation_mode = "{mode}">
            ({name}, , , {name}_size)
        """
        for name, channels in names.items()
    )


def _peaks(nms_kernel: int) -> str:
    """`is_peak` [N, HW]: above the threshold, above all earlier pixels in its window, below none.

    Earlier are the window's rows above and the pixels to the left; a plateau has one peak then.
    """
    reach = nms_kernel // 2
    if reach == 0:
        return """
        is_above_threshold = Greater(center_full, threshold)
        is_peak = Flatten(is_above_threshold)
        """
    return f"""
        height = Slice(image_size, zero, one)
        width = Slice(image_size, one, two)
        wide = Pad(center_full, columns_around, lowest_padding)
        beside = MaxPool<kernel_shape = [1, {reach}]>(wide)
        left = Slice(beside, zero, width, column_axis)
        right = Slice(beside, past_middle, end, column_axis)
        in_row = Max(left, center_full, right)
        tall = Pad(in_row, rows_around, lowest_padding)
        around = MaxPool<kernel_shape = [{reach}, 1]>(tall)
        above = Slice(around, zero, height, row_axis)
        below = Slice(around, past_middle, end, row_axis)
        is_above_threshold = Greater(center_full, threshold)
        beats_left = Greater(center_full, left)
        beats_above = Greater(center_full, above)
        beats_right = GreaterOrEqual(center_full, right)
        beats_below = GreaterOrEqual(center_full, below)
        beats_earlier = And(beats_left, beats_above)
        beats_later = And(beats_right, beats_below)
        beats_others = And(beats_earlier, beats_later)
        peak = And(is_above_threshold, beats_others)
        is_peak = Flatten(peak)
    """


def _counted_rows(name: str) -> str:
    """Counts and positions by image in a sorted list of image indices `<name>_images` [L].

    `<name>_counts` and `<name>_starts` [N + 1] are of each image and of one after the last,
    `<name>_turns` [L] count from 0 in each image, `max_<name>s` [1] is the highest count.
    """
    return f"""
        {name}_list_shape = Shape({name}_images)
        {name}_list_length = Size({name}_images)
        {name}_order = Range(place_0, {name}_list_length, place_1)
        {name}_copies = Mod({name}_order, copies)
        {name}_first_copies = Mul({name}_images, copies)
        {name}_count_places = Add({name}_first_copies, {name}_copies)
        {name}_ones = Expand(once, {name}_list_shape)
        {name}_counts_apart_flat = ScatterElements<reduction = "add">
            (no_list_counts, {name}_count_places, {name}_ones)
        {name}_counts_apart_float = Reshape({name}_counts_apart_flat, list_counts_shape)
        {name}_counts_apart = Cast<to = 7>({name}_counts_apart_float)
        {name}_counts = ReduceSum<keepdims = 0>({name}_counts_apart, one)
        {name}_ends = CumSum({name}_counts, place_0)
        {name}_starts = Sub({name}_ends, {name}_counts)
        {name}_start_of_each = GatherElements({name}_starts, {name}_images)
        {name}_turns = Sub({name}_order, {name}_start_of_each)
        max_{name}s_0 = ReduceMax<keepdims = 0>({name}_counts)
        max_{name}s = Unsqueeze(max_{name}s_0, zero)
    """


# Sizes.
_SHARED = """
        image_count = Squeeze(batch)
        images = Range(place_0, image_count, place_1)
        images_upright = Unsqueeze(images, one)
        images_and_one = Add(batch, one)
        list_counts_length = Mul(images_and_one, copies)
        no_list_counts = Expand(nothing, list_counts_length)
        list_counts_shape = Concat<axis = 0>(minus_one, copies)
        map_shape = Shape(labels)
        rows_count = Gather(image_size, place_0)
        columns_count = Gather(image_size, place_1)
        pixel_count_0 = Mul(rows_count, columns_count)
        pixel_count = Unsqueeze(pixel_count_0, zero)
        all_pixels = Mul(batch, pixel_count)
        last_pixel = Sub(all_pixels, one)
        all_rows = Mul(image_count, rows_count)
        row_indices = Range(place_0, all_rows, place_1)
        row_starts_shape = Concat<axis = 0>(batch, minus_one, one)
        labels_small = Cast<to = 6>(labels)
        label_flat = Reshape(labels_small, minus_one)
"""

# `find_centers`: the top_k highest peaks, on ties the earlier, in row-major order.
# `center_y`, `center_x` [N + 1, K, 1] are padded with far centers in images with fewer.
_CENTERS = """
        peak_flags = Reshape(is_peak, minus_one)
        real_peaks_2d = NonZero(peak_flags)
        real_peaks = Squeeze(real_peaks_2d, zero)
        peaks = Concat<axis = 0>(real_peaks, all_pixels)
        peak_images = Div(peaks, pixel_count)
        peaks_inside = Min(peaks, last_pixel)
        heatmap_flat = Reshape(center_full, minus_one)
        peak_values = GatherElements(heatmap_flat, peaks_inside)
        PEAK_ROWS
        value_width = Add(max_peaks, top_k)
        value_row_starts = Mul(peak_images, value_width)
        value_place = Add(value_row_starts, peak_turns)
        value_table_length = Mul(images_and_one, value_width)
        empty_value_table = Expand(lowest, value_table_length)
        value_table_flat = ScatterElements(empty_value_table, value_place, peak_values)
        value_table_shape = Concat<axis = 0>(images_and_one, value_width)
        value_table = Reshape(value_table_flat, value_table_shape)
        highest, highest_places = TopK(value_table, top_k)
        last_value = Slice(highest, minus_one, end, one)
        is_higher = Greater(value_table, last_value)
        is_last = Equal(value_table, last_value)
        higher_ones = Cast<to = 7>(is_higher)
        last_ones = Cast<to = 7>(is_last)
        higher_count = ReduceSum(higher_ones, one)
        free = Sub(top_k, higher_count)
        last_turn = CumSum(last_ones, place_1)
        is_early = LessOrEqual(last_turn, free)
        is_last_kept = And(is_last, is_early)
        is_kept = Or(is_higher, is_last_kept)
        kept_ones = Cast<to = 6>(is_kept)
        kept_ones_flat = Reshape(kept_ones, minus_one)
        peak_kept = GatherElements(kept_ones_flat, value_place)
        is_peak_kept = Greater(peak_kept, none)
        kept_2d = NonZero(is_peak_kept)
        kept = Squeeze(kept_2d, zero)
        center_images = GatherElements(peak_images, kept)
        kept_peaks = GatherElements(peaks, kept)
        center_pixels = Mod(kept_peaks, pixel_count)
        center_rows_whole = Div(center_pixels, columns_count)
        center_columns_whole = Mod(center_pixels, columns_count)
        center_rows = Cast<to = 1>(center_rows_whole)
        center_columns = Cast<to = 1>(center_columns_whole)
        CENTER_ROWS
        center_row_starts = Mul(center_images, max_centers)
        center_place = Add(center_row_starts, center_turns)
        centers_length = Mul(images_and_one, max_centers)
        no_centers = Expand(far_away, centers_length)
        center_y_flat = ScatterElements(no_centers, center_place, center_rows)
        center_x_flat = ScatterElements(no_centers, center_place, center_columns)
        centers_shape = Concat<axis = 0>(images_and_one, max_centers, one)
        center_y = Reshape(center_y_flat, centers_shape)
        center_x = Reshape(center_x_flat, centers_shape)
""".replace("PEAK_ROWS", _counted_rows("peak")).replace("CENTER_ROWS", _counted_rows("center"))

# Start and end of each block of pixels; the last block of an image is shorter.
_BLOCKS = """
        factor = Div(block_centers, max_centers)
        half_factor = Div(factor, two)
        even_factor = Mul(half_factor, two)
        odd_factor = Add(even_factor, one)
        block = Mul(odd_factor, smallest_block)
        block_less_one = Sub(block, one)
        pixels_and_more = Add(pixel_counts, block_less_one)
        blocks_of_image = Div(pixels_and_more, block)
        image_block_ends = CumSum(blocks_of_image, place_0)
        image_block_starts = Sub(image_block_ends, blocks_of_image)
        all_blocks = ReduceMax<keepdims = 0>(image_block_ends)
        block_indices = Range(place_0, all_blocks, place_1)
        block_indices_upright = Unsqueeze(block_indices, one)
        is_later_image = GreaterOrEqual(block_indices_upright, image_block_ends)
        later_ones = Cast<to = 7>(is_later_image)
        block_images = ReduceSum<keepdims = 0>(later_ones, one)
        first_block = GatherElements(image_block_starts, block_images)
        block_turn = Sub(block_indices, first_block)
        pixels_before = Mul(block_turn, block)
        image_start = GatherElements(pixel_starts, block_images)
        image_end = GatherElements(pixel_ends, block_images)
        block_starts = Add(image_start, pixels_before)
        block_starts_next = Add(block_starts, block)
        block_ends = Min(block_starts_next, image_end)
"""

# `group_pixels`: the nearest center, in blocks of pixels of one image.
# `slots` [N, HW] are instance * classes + class.
_NEAREST = """
        pixel_is_thing = GatherElements(is_thing, label_flat)
        thing_flags = Greater(pixel_is_thing, none)
        thing_pixels_2d = NonZero(thing_flags)
        thing_pixels = Squeeze(thing_pixels_2d, zero)
        pixels = Concat<axis = 0>(thing_pixels, last_pixel)
        pixel_images = Div(pixels, pixel_count)
        PIXEL_ROWS
        own_pixels = Mod(pixels, pixel_count)
        pixel_rows_whole = Div(own_pixels, columns_count)
        pixel_columns_whole = Mod(own_pixels, columns_count)
        pixel_rows = Cast<to = 1>(pixel_rows_whole)
        pixel_columns = Cast<to = 1>(pixel_columns_whole)
        offsets_before = Mul(pixel_images, pixel_count)
        offset_y_place = Add(pixels, offsets_before)
        offset_x_place = Add(offset_y_place, pixel_count)
        offset_flat = Reshape(offset_full, minus_one)
        offset_y = GatherElements(offset_flat, offset_y_place)
        offset_x = GatherElements(offset_flat, offset_x_place)
        aim_y_flat = Add(pixel_rows, offset_y)
        aim_x_flat = Add(pixel_columns, offset_x)
        aim_y = Unsqueeze(aim_y_flat, zero)
        aim_x = Unsqueeze(aim_x_flat, zero)
        BLOCKS
        none_and_nearest = Loop(all_blocks, yes, none) <body = one_block
            (int64 block_index, bool grouping_goes, int32[D] nearest_before) =>
            (bool grouping_goes_on, int32[E] nearest_so_far)
            {
                grouping_goes_on = Identity(grouping_goes)
                block_place = Add(block_index, zero)
                block_start = Gather(block_starts, block_place)
                block_end = Gather(block_ends, block_place)
                block_image = Gather(block_images, block_index)
                block_y = Slice(aim_y, block_start, block_end, one)
                block_x = Slice(aim_x, block_start, block_end, one)
                block_center_y = Gather(center_y, block_image)
                block_center_x = Gather(center_x, block_image)
                dy = Sub(block_center_y, block_y)
                dx = Sub(block_center_x, block_x)
                dy_squared = Mul(dy, dy)
                dx_squared = Mul(dx, dx)
                squared = Add(dy_squared, dx_squared)
                nearest_wide = ArgMin<axis = 0, keepdims = 0>(squared)
                nearest_in_block = Cast<to = 6>(nearest_wide)
                nearest_so_far = Concat<axis = 0>(nearest_before, nearest_in_block)
            }>
        nearest = Slice(none_and_nearest, one, end)
        number = Add(nearest, one_small)
        center_count_of_pixel = GatherElements(center_counts, pixel_images)
        max_number = Cast<to = 6>(center_count_of_pixel)
        is_center = LessOrEqual(number, max_number)
        grouped_label = GatherElements(label_flat, pixels)
        grouped_is_thing = GatherElements(is_thing, grouped_label)
        grouped_thing_flags = Greater(grouped_is_thing, none)
        is_grouped = And(is_center, grouped_thing_flags)
        instance = Where(is_grouped, number, none)
        first_slot = Mul(instance, classes_small)
        grouped_slot = Add(first_slot, grouped_label)
        slots_flat = ScatterElements(label_flat, pixels, grouped_slot)
""".replace("PIXEL_ROWS", _counted_rows("pixel")).replace("BLOCKS", _BLOCKS)

# `vote_from_counts`: one histogram of the slots, of whose copies each row of pixels takes the next;
# each instance takes its majority class.
_VOTE = """
        rows_of_slots_shape = Concat<axis = 0>(batch, minus_one)
        slots = Reshape(slots_flat, rows_of_slots_shape)
        slot_starts_wide = Mul(images_upright, slot_count)
        slot_starts = Cast<to = 6>(slot_starts_wide)
        slot_places = Add(slots, slot_starts)
        slot_place = Reshape(slot_places, minus_one)
        row_images = Div(row_indices, rows_count)
        first_copies = Mul(row_images, copies)
        row_copies = Mod(row_indices, copies)
        count_copies = Add(first_copies, row_copies)
        count_starts_wide = Mul(count_copies, slot_count)
        count_starts_flat = Cast<to = 6>(count_starts_wide)
        count_starts = Reshape(count_starts_flat, row_starts_shape)
        slot_map = Reshape(slots_flat, map_shape)
        count_places = Add(slot_map, count_starts)
        count_place = Reshape(count_places, minus_one)
        all_copies = Mul(batch, copies)
        counts_length = Mul(all_copies, slot_count)
        no_counts = Expand(nothing, counts_length)
        ones = Expand(once, all_pixels)
        counts_apart_flat = ScatterElements<reduction = "add">(no_counts, count_place, ones)
        counts_apart_float = Reshape(counts_apart_flat, counts_apart_shape)
        counts_apart = Cast<to = 7>(counts_apart_float)
        counts = ReduceSum<keepdims = 0>(counts_apart, one)
        count_table = Reshape(counts, count_table_shape)
        votes_with_none = Mul(count_table, thing_votes)
        votes = Slice(votes_with_none, one, end, one)
        winners_wide = ArgMax<axis = 2, keepdims = 0>(votes)
        winners = Cast<to = 6>(winners_wide)
        areas = ReduceSum<keepdims = 0>(votes, two)
        is_winning = Greater(areas, zero)
        winning = Cast<to = 7>(is_winning)
        winning_turn = CumSum(winning, place_1)
        instance_ids = Mul(winning_turn, winning)
        winning_count = ReduceSum(winning, one)
        none_counts = Gather<axis = 1>(count_table, place_0)
        stuff_counts = Mul(none_counts, stuff_votes)
        min_area = Max(min_stuff_area, one)
        is_large = GreaterOrEqual(stuff_counts, min_area)
        large = Cast<to = 7>(is_large)
        large_turn = CumSum(large, place_1)
        large_number = Add(large_turn, winning_count)
        stuff_ids = Mul(large_number, large)
"""

# The map, by looking up the id of each slot, and the segments in the order of their ids.
_TABLE = """
        stuff_ids_flat = Unsqueeze(stuff_ids, one)
        instance_ids_upright = Unsqueeze(instance_ids, two)
        instance_slots_shape = Shape(votes)
        id_of_instance_slots = Expand(instance_ids_upright, instance_slots_shape)
        id_of_slots_wide = Concat<axis = 1>(stuff_ids_flat, id_of_instance_slots)
        id_of_slots = Cast<to = 6>(id_of_slots_wide)
        id_of_slot = Reshape(id_of_slots, minus_one)
        ids_flat = GatherElements(id_of_slot, slot_place)
        panoptic = Reshape(ids_flat, map_shape)
        candidate_ids = Concat<axis = 1>(instance_ids, stuff_ids)
        stuff_shape = Shape(stuff_ids)
        stuff_classes = Expand(class_indices, stuff_shape)
        candidate_classes = Concat<axis = 1>(winners, stuff_classes)
        candidate_areas_wide = Concat<axis = 1>(areas, stuff_counts)
        candidate_areas = Cast<to = 6>(candidate_areas_wide)
        tables_shape = Concat<axis = 0>(batch, table_length)
        no_class = Expand(minus_one_small, tables_shape)
        no_area = Expand(none, tables_shape)
        class_of_id = ScatterElements<axis = 1>(no_class, candidate_ids, candidate_classes)
        area_of_id = ScatterElements<axis = 1>(no_area, candidate_ids, candidate_areas)
        segment_class = Slice(class_of_id, one, end, one)
        segment_area = Slice(area_of_id, one, end, one)
        large_count = ReduceSum(large, one)
        count_upright = Add(winning_count, large_count)
        count_small = Cast<to = 6>(count_upright)
        segment_count = Squeeze(count_small, one)
"""

# The mean probability of its class over a segment, the softmax of the upsampled logits without a
# highest one: where the sum overflows, the probability is 0. Probabilities are summed by rows
# first: a float32 sum of a million terms is wrong in the fourth digit.
_SCORES = """
        some_class_of_id = Max(class_of_id, none)
        id_of_slots_by_image = Reshape(id_of_slot, rows_of_slots_shape)
        classes_of_slots = GatherElements<axis = 1>(some_class_of_id, id_of_slots_by_image)
        class_of_slot = Reshape(classes_of_slots, minus_one)
        class_of_pixel = GatherElements(class_of_slot, slot_place)
        class_map = Reshape(class_of_pixel, map_shape)
        padding = Sub(input_size, image_size)
        class_pads = Concat<axis = 0>(no_map_pads, padding)
        class_input = Pad(class_map, class_pads)
        class_plane = Unsqueeze(class_input, one)
        own_logit = GatherElements<axis = 1>(semantic_input, class_plane)
        logits_above = Sub(semantic_input, own_logit)
        powers = Exp(logits_above)
        power_sum = ReduceSum<keepdims = 0>(powers, one)
        input_probabilities = Reciprocal(power_sum)
        probabilities = Slice(input_probabilities, no_start, image_size, map_axes)
        probability = Reshape(probabilities, minus_one)
        row_starts_wide = Mul(row_indices, table_length)
        row_starts_flat = Cast<to = 6>(row_starts_wide)
        row_starts = Reshape(row_starts_flat, row_starts_shape)
        sum_places = Add(panoptic, row_starts)
        sum_place = Reshape(sum_places, minus_one)
        sums_length = Mul(all_rows, table_length)
        no_sums = Expand(nothing, sums_length)
        sums_flat = ScatterElements<reduction = "add">(no_sums, sum_place, probability)
        sums_shape = Concat<axis = 0>(batch, minus_one, table_length)
        sums_by_row = Reshape(sums_flat, sums_shape)
        sums_of_id = ReduceSum<keepdims = 0>(sums_by_row, one)
        sums = Slice(sums_of_id, one, end, one)
        divisor_whole = Max(segment_area, one_small)
        divisor = Cast<to = 1>(divisor_whole)
        segment_score = Div(sums, divisor)
"""


def _constants(settings: GroupingSettings) -> Constants:
    C, M = settings.num_classes, settings.max_segments
    things = settings.is_thing
    reach = settings.nms_kernel // 2
    return {
        "yes": np.array(True),
        "place_0": np.array(0),
        "place_1": np.array(1),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "minus_one": np.array([-1]),
        "end": np.array([np.iinfo(np.int32).max]),
        "none": np.array([0], np.int32),
        "one_small": np.array([1], np.int32),
        "minus_one_small": np.array([-1], np.int32),
        "nothing": np.array([0], np.float32),
        "once": np.array([1], np.float32),
        "copies": np.array([COPIES]),
        "no_start": np.array([0, 0]),
        "no_map_pads": np.array([0, 0, 0, 0]),
        "row_axis": np.array([2]),
        "column_axis": np.array([3]),
        "map_axes": np.array([1, 2]),
        "spatial_axes": np.array([2, 3]),
        "threshold": np.array([settings.threshold], np.float32),
        "lowest": np.array([LOWEST], np.float32),
        "lowest_padding": np.array(LOWEST, np.float32),
        "rows_around": np.array([0, 0, reach, 0, 0, 0, reach, 0]),
        "columns_around": np.array([0, 0, 0, reach, 0, 0, 0, reach]),
        "past_middle": np.array([reach + 1]),
        "top_k": np.array([settings.top_k]),
        "far_away": np.array([FAR], np.float32),
        "smallest_block": np.array([BLOCK]),
        "block_centers": np.array([BLOCK_CENTERS]),
        "class_count": np.array([C]),
        "classes_small": np.array([C], np.int32),
        "class_indices": np.arange(C, dtype=np.int32),
        "is_thing": things.astype(np.int32),
        "thing_votes": things.astype(np.int64),
        "stuff_votes": (~things).astype(np.int64),
        "min_stuff_area": np.array([settings.min_stuff_area]),
        "slot_count": np.array([(settings.top_k + 1) * C]),
        "counts_apart_shape": np.array([-1, COPIES, (settings.top_k + 1) * C]),
        "count_table_shape": np.array([-1, settings.top_k + 1, C]),
        "table_length": np.array([M + 1]),
    }


def _model(
    name: str, signature: str, constants: Constants, body: str, opset: int
) -> onnx.ModelProto:
    """Build a model from the text of its nodes and its constants."""
    head = f'<ir_version: {IR_VERSION}, opset_import: ["" : {opset}]>'
    model = parser.parse_model(f"{head} {name} {signature} {{ {body} }}")
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    return model
