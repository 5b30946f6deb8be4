"""A Ray cluster as a `concurrent.futures.Executor`."""

from __future__ import annotations

import logging
import socket
import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, TypeVar

from eplb_opt.errors import MissingDependency, ProblemError, import_optional
from eplb_opt.problem.arrays import as_int

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.clock import Deadline

T = TypeVar("T")

#: The address that stands for a cluster that this machine is part of.
AUTO = "auto"
#: Seconds after which an address where nobody answers counts as wrong; Ray itself tries for long.
PROBE_SECONDS = 3.0
#: How often somebody who waits for the cluster looks whether the call was stopped.
LOOK_SECONDS = 0.05


class RayExecutor(Executor):
    """Tasks on a Ray cluster that this process is connected to.

    Ray repeats no task by itself: whose turn is lost is told, and decides. Several may use the
    cluster at a time.

    Parameters
    ----------
    num_cpus
        Cores that each task counts for in Ray's books.
    """

    def __init__(self, num_cpus: float = 1.0) -> None:
        self.ray = import_optional("ray", "ray")
        self.options = {"max_retries": 0, "num_cpus": num_cpus}
        self._tasks: dict[Any, Any] = {}

    @property
    def num_cpus(self) -> int:
        """Cores of the whole cluster, as Ray counts them now; at least 1."""
        return max(int(self.ray.cluster_resources().get("CPU", 1)), 1)

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Begin a task on a worker.

        Parameters
        ----------
        function
            A function of a module that the workers can import.
        *args, **kwargs
            What it is called with; they are pickled.

        Returns
        -------
        A future; cancelling it keeps a task that has not begun from beginning. It raises an error
        of Ray's where the worker or its machine is lost.
        """
        task = self._tasks.get(function)
        if task is None:
            task = self._tasks[function] = self.ray.remote(**self.options)(function)
        reference = task.remote(*args, **kwargs)
        return _Task(reference, self.ray)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: the connection is `Cluster`'s, and the cluster is nobody's here."""


class _Task(Future[Any]):
    """A task's future: the one that Ray makes cannot cancel anything."""

    def __init__(self, reference: Any, ray: Any) -> None:
        super().__init__()
        self.ray, self.reference = ray, reference
        reference.future().add_done_callback(self._end)

    def _end(self, done: Future[Any]) -> None:
        if not self.set_running_or_notify_cancel():
            return
        error = done.exception()
        if error is None:
            self.set_result(done.result())
        else:
            self.set_exception(error)

    def cancel(self) -> bool:
        """Take the task back; one that runs already goes on, and nobody hears of it."""
        if super().cancel():
            self.ray.cancel(self.reference)
            return True
        return False


class Cluster:
    """A connection to a Ray cluster, made while other work goes on.

    A connection that this process has already, from `ray.init`, is used and stays.

    Parameters
    ----------
    address
        "auto" for the cluster of this machine, or the address of its head: "host:port", or
        "ray://host:port" for Ray's client.

    Raises
    ------
    MissingDependency
        When Ray is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.error: BaseException | None = None
        self._is_left = False
        self._holds = False
        self._is_done = threading.Event()
        self._lock = threading.Lock()
        # Ray takes SIGTERM for itself where it is connected in the main thread.
        threading.Thread(target=self._connect, name="eplb-opt-ray", daemon=True).start()

    def executor(self, deadline: Deadline) -> RayExecutor | None:
        """The cluster, once it is connected; None where the deadline comes first.

        Raises
        ------
        ProblemError
            When there is no such cluster.
        MissingDependency
            When Ray is not installed.
        """
        while not self._is_done.wait(min(deadline.remaining, LOOK_SECONDS)):
            if deadline.expired:
                return None
        if isinstance(self.error, MissingDependency):
            raise self.error
        if self.error is not None:
            words = " ".join(str(self.error).split())
            raise ProblemError(
                f"cluster={self.address!r} is no Ray cluster that answers ({words[:300]}). Start "
                'one with "ray start --head" and give "auto" or the address that it prints.'
            ) from self.error
        return RayExecutor()

    def leave(self) -> None:
        """Disconnect where nobody else in this process uses the connection, and we made it."""
        with self._lock:
            self._is_left = True
            if self._is_done.is_set():
                self._let_go()

    def _connect(self) -> None:
        try:
            _CONNECTION.hold(self.address)
            self._holds = True
        except BaseException as error:  # told by whoever asks for the cluster
            self.error = error
        with self._lock:
            self._is_done.set()
            if self._is_left:  # the call did not wait so long
                self._let_go()

    def _let_go(self) -> None:
        if self._holds:
            self._holds = False
            _CONNECTION.let_go()


class _Connection:
    """The one connection of a process to Ray, and how many calls use it."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.is_ours = False
        self.lock = threading.Lock()

    def hold(self, address: str) -> None:
        """Connect, or use the connection that is there."""
        ray = import_optional("ray", "ray")
        with self.lock:
            if not ray.is_initialized():
                _probe(address)
                logging.getLogger("ray").setLevel(logging.ERROR)
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
                self.is_ours = True
            self.num_calls += 1

    def let_go(self) -> None:
        """Disconnect after the last call, unless the connection was there before the first.

        A process that stays connected is ended by Ray when the cluster goes away. Disconnecting
        takes tenths of a second, and the call is to return in time.
        """
        with self.lock:
            self.num_calls -= 1
        threading.Thread(target=self._disconnect, name="eplb-opt-ray-end").start()

    def _disconnect(self) -> None:
        with self.lock:
            if self.is_ours and not self.num_calls:
                self.is_ours = False
                import_optional("ray", "ray").shutdown()


_CONNECTION = _Connection()


def _probe(address: str) -> None:
    """Find out within seconds that nobody answers at an address; Ray takes minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == AUTO or not port.isdigit():
        return
    number = as_int(int(port), "the port of cluster", most=2**16 - 1)
    socket.create_connection((host, number), PROBE_SECONDS).close()
