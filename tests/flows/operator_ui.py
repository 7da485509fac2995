"""What an operator does in the Prefect UI, with a real browser: by the words on the screen, waiting for what shows."""

from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Locator, Page, TimeoutError, expect

SHORT = 20_000
"""Milliseconds until a page that does not show something is loaded anew."""


class Operator:
    """A person in front of a page of the UI."""

    def __init__(self, page: Page, url: str, pictures: Path, *, patient: bool = False) -> None:
        """Sit down; ``pictures`` is where they go, and a patient operator waits until all is drawn."""
        self.page, self.url = page, url
        self.main = page.get_by_role("main")
        self.log = page.get_by_role("log")
        self._pictures, self._patient = pictures, patient

    def opens_the_form(self, deployment: str) -> None:
        """From the UI's address to the Run form, as the menus lead there; anew where the server is busy."""
        run = self.page.get_by_role("button", name="Run", exact=True)
        for _ in range(5):
            with suppress(TimeoutError):
                self.page.goto(self.url)
                self.page.get_by_role("link", name="Deployments", exact=True).click(timeout=SHORT)
                self.page.get_by_role("link", name=deployment, exact=True).first.click(timeout=SHORT)
                run.wait_for(timeout=SHORT)
                break
        run.click()
        self.page.get_by_role("menuitem", name="Custom run").click()
        expect(self.page.get_by_role("heading", name="Parameters")).to_be_visible()

    def field(self, name: str) -> Locator:
        """A field of a form, with its label, its description and what is wrong with it."""
        label = self.page.get_by_text(f"{name} (Optional)", exact=True)
        return self.main.locator("div.group").filter(has=label).last

    def drop_down(self, name: str) -> Locator:
        """What opens a drop-down, and says what is chosen."""
        return self.page.get_by_role("button", name=f"Select {name}")

    def chooses(self, name: str, value: str) -> None:
        """One value of a drop-down."""
        self.drop_down(name).click()
        self.page.get_by_role("option", name=value, exact=True).click()
        expect(self.drop_down(name)).to_have_text(value)

    def submits(self) -> None:
        """The form's button."""
        self.page.get_by_role("button", name="Submit").click()

    def views_the_new_run(self) -> None:
        """The button of the message that says a run was made."""
        self.page.get_by_role("button", name="View run").click()
        self._sees(self.page.get_by_role("tab", name="Logs"))

    def opens_the_run(self, run: str) -> None:
        """A run's page, as a link in an alert or a log leads there."""
        self.page.goto(f"{self.url}/v2/runs/flow-run/{run}")

    def sees_state(self, name: str) -> None:
        """The run's state, which the page keeps up to date, as a rule."""
        self._sees(self.main.get_by_text(name, exact=True).first)

    def _sees(self, what: Locator) -> None:
        """What is to show; where it does not, the page is loaded anew, as a person would."""
        for _ in range(5):
            with suppress(AssertionError):
                expect(what).to_be_visible(timeout=SHORT)
                return
            self.page.reload()
        expect(what).to_be_visible()

    def resumes(self, dialog: Locator) -> None:
        """The dialog's button; again, where the server was too busy to take the answer."""
        while dialog.is_visible():
            with suppress(TimeoutError):  # gone meanwhile
                dialog.get_by_role("button", name="Resume").click(timeout=1000)
            self.page.wait_for_timeout(1000)

    def reads_the_log(self, text: str, order: str = "Oldest to newest") -> None:
        """A line of the run's log: only those that fit are drawn, and once a run has ended it takes a reload."""
        for _ in range(10):
            with suppress(AssertionError):
                expect(self.log).to_contain_text(text, timeout=5000)
                return
            self.page.reload()
            self.page.get_by_role("combobox", name="log sort order").click()
            self.page.get_by_role("option", name=order).click()
        raise AssertionError(f"The log does not say {text!r}: {self.log.inner_text()}")

    def picks(self, item: str) -> None:
        """An item of the run's menu."""
        self.main.get_by_role("button", name="Open menu").first.click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def opens_the_question(self) -> Locator:
        """The dialog of a suspended run."""
        self.sees_state("Suspended")
        self.picks("Resume")
        button = self.page.get_by_role("button", name="Resume")  # a drop-down that closes is a dialog, too
        dialog = self.page.get_by_role("dialog").filter(has=button)
        expect(dialog.get_by_role("button", name="Select Decision")).to_be_visible()
        return dialog

    def decides(self, dialog: Locator, decision: str) -> None:
        """Approve or Reject, from the dialog's drop-down."""
        dialog.get_by_role("button", name="Select Decision").click()
        self.page.get_by_role("option", name=decision, exact=True).click()

    def opens_the_artifact(self, key: str) -> None:
        """From a run to what it leaves for people."""
        self.page.get_by_role("tab", name="Artifacts").click()
        self.page.get_by_role("tabpanel").get_by_role("link").filter(has_text=key).first.click()
        self.main.locator("a[href*='/artifacts/artifact/']").first.click()

    def takes_a_picture(self, name: str, height: int = 800) -> None:
        """Of what is on the screen, which is so many pixels high."""
        self.page.set_viewport_size({"width": 1280, "height": height})
        if self._patient:
            self.page.wait_for_timeout(3000)  # a run's graph draws itself on a canvas and does not say when it is done
        self.page.screenshot(path=self._pictures / f"{name}.png", animations="disabled")
