"""k-means clustering from a fixed start, so that the same points give the same clusters."""

import numpy as np

#: Rounds; it settles in some ten.
MAX_ROUNDS = 50


def k_means(points: np.ndarray, num: int) -> np.ndarray:
    """Clusters of points that lie together; the same points give the same clusters.

    Lloyd's algorithm [1]_. It starts from the point closest to the mean and then, each time, the
    one farthest from all chosen [2]_.

    Parameters
    ----------
    points
        float64 [num_points, size].
    num
        Clusters; fewer where fewer points differ.

    Returns
    -------
    Labels from 0 up, int64 [num_points].

    References
    ----------
    .. [1] S. P. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information
       Theory 28, 1982.
    .. [2] T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical
       Computer Science 38, 1985.
    """
    centers = _farthest_first(points, num)
    label = np.full(len(points), -1)
    for _ in range(MAX_ROUNDS):
        nearest = _distances(points, centers).argmin(axis=1)
        if (nearest == label).all():
            break
        label = nearest
        held = [k for k in range(len(centers)) if (label == k).any()]
        centers = np.array([points[label == k].mean(axis=0) for k in held])
        label = np.searchsorted(held, label)
    return label


def _farthest_first(points: np.ndarray, num: int) -> np.ndarray:
    """Up to `num` of the points: the most central one, then ever the farthest from the chosen."""
    chosen = [int(_distances(points, points.mean(axis=0)[None])[:, 0].argmin())]
    while len(chosen) < num:
        farthest = _distances(points, points[chosen]).min(axis=1)
        if farthest.max() <= np.finfo(float).eps * points.shape[1]:
            break
        chosen.append(int(farthest.argmax()))
    return points[chosen]


def _distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared distances, float64 [num_points, num_centers]."""
    squares = (points**2).sum(axis=1)[:, None] + (centers**2).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * points @ centers.T, 0))
