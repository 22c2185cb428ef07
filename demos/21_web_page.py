# %% [markdown]
# # Does the critic see a fall coming?
#
# PPO learns CartPole and becomes a web page, where one can push the cart.
#
# The page's policy, critic and physics are JavaScript that the tests hold to NumPy and Gymnasium. Its picture is taken with
# Chromium and Playwright (the extra `test`), where both are installed: after 80 steps somebody taps the cart, a force of 12 N for 4
# steps; at step 130 the same force stays. Without a browser the page is made all the same. Takes about a quarter of a minute.

# %%
import io
import shutil
from concurrent.futures import ThreadPoolExecutor

from common import few_colours, output

import scratchac
from scratchac.experiments.run import new_folder
from scratchac.tools.export import export

PUSHED = """() => {
    const {game, restart, step, hold, release} = scratchac, take = (n) => { for (let i = 0; i < n; i++) step(); };
    game.speed = 0;                                         // time stands still but for the steps taken here
    game.history.length = 0;
    restart();
    take(80);
    hold({direction: 1});
    release();
    take(50);
    hold({direction: 1});
    take(50);
    release();
    return game.history.map(({value, delta}) => [value, delta]);
}"""

# %% [markdown]
# PPO learns CartPole and becomes a page.

# %%
run = new_folder("ppo", "CartPole-v1", 0)
agent = scratchac.train("ppo", "CartPole-v1", seed=0, out=run, quiet=True)
page_path = export(run)
print(f"open {page_path} in a browser: 100 episodes bring {scratchac.evaluate(agent, 'CartPole-v1').mean():.0f} on average")

# %% [markdown]
# What a browser shows of it when somebody pushes.

# %%
browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
try:
    from playwright.sync_api import sync_playwright
except ImportError:
    browser_path = None
if browser_path is None:
    raise SystemExit("no picture: it takes Chromium and Playwright")


def pushed():
    """V(s) and the TD error of each step while somebody pushes; also takes the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, device_scale_factor=2)
        page.add_init_script("let seed = 1; Math.random = () => (seed = seed * 16807 % 2147483647) / 2147483647")
        page.goto(page_path.resolve().as_uri())
        seen = page.evaluate(PUSHED)
        page.wait_for_timeout(200)
        few_colours(io.BytesIO(page.screenshot(full_page=True)), output("pictures") / "21_web_page.png")
        browser.close()
    return seen


with ThreadPoolExecutor(1) as thread:                       # in a notebook's own thread Playwright's sync_api refuses to run
    values, errors = zip(*thread.submit(pushed).result(), strict=True)
print(f"V(s) stays between {min(values):.1f} and {max(values):.1f}; the pole fell in step {len(values) - 130} of the second push, "
      f"with a TD error of {errors[-1]:.1f}; those before lie between {min(errors[:-1]):.2f} and {max(errors):.2f}")
