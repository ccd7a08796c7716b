"""Training in rounds: how good, how fast, with how few bytes, and what it costs when nodes are slow or die.

| name | what |
| --- | --- |
| `training` | accuracy and traffic beside one process on as many samples |
| `training-speed` | seconds beside one process, and what rounds cost |
| `training-quantized` | accuracy and bytes by the share of rounds that are quantized |
| `training-uneven` | a slow node, parts that are dropped, nodes that are killed |
| `training-kills` | each part counts once, whoever dies |
| `training-peers` | accuracy by seconds and bytes beside DDP and Flower, and what each does when a worker is killed |
"""
