"""One global batch on several devices: what each must know of the others."""

import tensorflow as tf

__all__ = ["place_in_global_batch", "sum_over_devices"]


def place_in_global_batch(num_examples):
    """The number of this device's first example in the batch that all devices share, and the size of that batch."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return tf.zeros([], tf.int32), num_examples
    context = tf.distribute.get_replica_context()
    sizes = context.all_gather(num_examples[None], axis=0)
    return tf.reduce_sum(sizes[: context.replica_id_in_sync_group]), tf.reduce_sum(sizes)


def sum_over_devices(sums):
    """The sum over all devices, the same on each."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return sums
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)
