"""The robot that `setup` creates: kept only if all that comes after succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from poller.administrator import Administrator, RobotExists
from poller.errors import BadRequest, ConfigError, HarborUnreachable, NotAllowed, PollerError, Temporary
from poller.robots import EVERY, Right, Robot, WantedRobot, wanted_robot
from poller.setup_asking import Given, Person
from poller.setup_harbor import Login

NAME = "poller"
TAKE_OVER = "take over"


@dataclass(frozen=True, slots=True)
class RobotPlan:
    """`existing`: the one to be taken over; None: it is created. `lacking`: what this Harbor cannot grant."""

    wanted: WantedRobot
    lacking: list[Right]
    existing: Robot | None = None

    @property
    def description(self) -> str:
        name = self.existing.name if self.existing else self.wanted.name
        what = f"{name}, with a new secret and these rights" if self.existing else name
        projects = [each.namespace for each in self.wanted.permissions if each.kind == "project"]
        where = "all projects, and the whole audit log" if projects == [EVERY] else ", ".join(projects)
        return f"{what}: may read {where}, and nothing else"


def plan_robot(given: Given, person: Person, administrator: Administrator) -> RobotPlan:
    """What is to be created; a name that is taken is settled before anything is."""
    grantable = administrator.grantable()
    name, takes_over = given.robot_name or NAME, given.takes_over
    while True:
        wanted, lacking = wanted_robot(name, given.projects, grantable)
        existing = administrator.find(wanted)
        if existing is None or takes_over:
            return RobotPlan(wanted, lacking, existing)
        if not person.is_there:
            raise RobotExists(
                f"Harbor has a robot {existing.name} already: another name with --robot-name, or --replace-robot, which"
                " gives it a new secret and ends the old one"
            )
        person.say(
            f"! Harbor has a robot {existing.name} already. «{TAKE_OVER}» gives it a new secret: whoever uses it now"
            " has to learn that"
        )
        answer = person.text(f"Another name for the robot, or «{TAKE_OVER}»", default=f"{name}-2")
        name, takes_over = (name, True) if answer == TAKE_OVER else (answer, False)


@contextmanager
def robot_made(plan: RobotPlan, administrator: Administrator) -> Iterator[Login]:
    """The robot exists within, and afterwards if nothing went wrong. One that was there before stays in any case."""
    if plan.existing is not None:
        with _taken_over(plan.existing, plan.wanted, administrator) as login:
            yield login
        return
    robot, login = _create(plan.wanted, administrator)
    try:
        yield login
    except BaseException as error:
        _take_back(robot, administrator, error)
        raise


@contextmanager
def _taken_over(robot: Robot, wanted: WantedRobot, administrator: Administrator) -> Iterator[Login]:
    administrator.change(robot, wanted)
    try:
        yield Login(robot.name, administrator.renew(robot))
    except (PollerError, KeyboardInterrupt) as error:
        raise HarborUnreachable(
            f"{str(error) or 'interrupted'}. The robot {robot.name} may have a new secret now, which is not kept: run"
            " `setup` again with --replace-robot"
        ) from None


def _create(wanted: WantedRobot, administrator: Administrator) -> tuple[Robot, Login]:
    try:
        robot, secret = administrator.create(wanted)
    except NotAllowed as error:
        if wanted.project is None:
            raise
        raise NotAllowed(f"{administrator.name} is no administrator of the project {wanted.project}: {error}") from None
    except BadRequest as error:
        raise ConfigError(f"Harbor does not take the robot {wanted.name}: {error}") from None
    except (Temporary, KeyboardInterrupt) as error:
        _take_back_unseen(wanted, administrator, error)
        raise
    return robot, Login(robot.name, secret)


def _take_back_unseen(wanted: WantedRobot, administrator: Administrator, error: BaseException) -> None:
    """The answer was lost, so it may have been created: there was none of its name before."""
    try:
        robot = administrator.find(wanted)
    except PollerError:
        raise _left_over(wanted.stored_name, error) from None
    if robot is not None:
        _take_back(robot, administrator, error)


def _take_back(robot: Robot, administrator: Administrator, error: BaseException) -> None:
    try:
        administrator.delete(robot)
    except PollerError:
        raise _left_over(robot.name, error) from None


def _left_over(name: str, error: BaseException) -> PollerError:
    why = str(error) or "interrupted"
    return HarborUnreachable(
        f"{why}. The robot {name} may have been created, and Harbor does not answer now: delete it there later"
        " (Administration, Robot Accounts), or run `setup` again with --replace-robot"
    )
