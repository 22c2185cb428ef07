"""Pictures in a notebook: figures, and the learning curve below the progress bar of a training."""

import io
import time
from collections.abc import Collection
from typing import Any

EVERY = 5.0                     # seconds from one picture to the next


class LearningCurve:
    """Mean returns over steps, as one picture in the output of a notebook's cell, which is replaced as training goes on."""

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []           # (environment steps, mean return of the last 100 episodes)
        self.now: tuple[int, Collection[Any]] = (0, ())     # environment steps, and (return, length) of those episodes
        self.shown: Any = None                              # IPython's handle of the picture, once there is one
        self.due = time.monotonic() + EVERY

    def follow(self, step: int, episodes: Collection[Any]) -> None:
        """Take (return, length) of the last episodes after each update; draw every EVERY seconds."""
        self.now = step, episodes
        if time.monotonic() >= self.due:
            self.show()
            self.due = time.monotonic() + EVERY

    def mark(self) -> None:
        """Make a point of what is now; none until an episode has ended."""
        step, episodes = self.now
        if episodes and (not self.points or step > self.points[-1][0]):
            self.points.append((step, sum(x for x, _ in episodes) / len(episodes)))

    def show(self) -> None:
        """Draw the curve up to now; nothing if no episode has ended."""
        self.mark()
        if not self.points:
            return
        from IPython.display import display  # a kernel has it

        curve = picture(self.figure(), "learning curve")
        if self.shown is None:
            self.shown = display(curve, display_id=True)
        else:
            self.shown.update(curve)

    def figure(self) -> Any:
        """The curve as a figure of matplotlib."""
        from scratchac import style  # matplotlib takes longer to load than a short training without a curve

        figure, (ax,) = style.panels(1, height=2.8)
        ax.plot(*zip(*self.points, strict=True), "." if len(self.points) == 1 else "-", lw=style.LINE, color=style.COLOURS[0])
        style.frame(ax, "return: mean of the last 100 episodes")
        style.steps(ax)
        return figure


def picture(figure: Any, alt: str | None = None) -> Any:
    """A figure of matplotlib as a notebook shows it: with twice as many pixels as places, for screens that show more."""
    from IPython.display import Image

    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=200)
        return Image(data=file.getvalue(), retina=True, alt=alt)


def show(figure: Any) -> None:
    """Show a figure of matplotlib in the output of the notebook's cell, whatever the notebook does with figures otherwise."""
    from IPython.display import display

    display(picture(figure))
