"""Two logical devices in a process of its own: they have to be made before TensorFlow starts.

A test file that uses it is also the program that runs on them: its `main` prints a report as JSON.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def strategies():
    """The strategy of one device, and that of two logical processors that mirror each other."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def report_of(file):
    """What a file prints on its last line when it is run."""
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, file]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
