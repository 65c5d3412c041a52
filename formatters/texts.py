"""The words of the messages, in Russian and English, and how a chat wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from enum import StrEnum

import msgspec

from formatters.portal import Portal
from poller.events import EventType, Phase, Reason


class Occasion(StrEnum):
    """Why several events are told in one message."""

    BACKLOG = "backlog"  # more at once than the chat's pace allows
    CATCH_UP = "catch-up"  # after a downtime
    BACKFILL = "backfill"  # a past period that was asked for
    QUIET_HOURS = "quiet-hours"  # what waited for their end
    PERIOD = "period"  # a chat that wants nothing but digests


class RunKind(StrEnum):
    """What many events of one run are, where no single event's title says it."""

    CLEAN_UP = "clean-up"  # by Harbor itself, as its retention rules say
    DELETIONS = "deletions"
    REPOSITORIES = "repositories"
    PROJECTS = "projects"
    PUSHES = "pushes"
    MIXED = "mixed"


class Label(StrEnum):
    """What a line of a message says."""

    REPOSITORY = "repository"
    TAG = "tag"
    TAGS = "tags"
    URL = "url"
    PUSHER = "pusher"
    USER = "user"
    STATUS = "status"
    DURATION = "duration"
    SECONDS = "seconds"
    SEVERITY = "severity"
    TOTAL = "total"
    FIXABLE = "fixable"
    SCANNER = "scanner"
    PROJECT = "project"
    ROBOT = "robot"
    ACCOUNT = "account"
    MEMBER = "member"
    SETTINGS = "settings"
    ENTRY = "entry"
    SOURCE = "source"
    PERIOD = "period"
    COUNT = "count"
    PLATFORM = "platform"
    RUN_STATUS = "run status"
    LONGEST = "longest"
    SUM = "sum"
    SINCE_SCAN = "since scan"
    SINCE_IMAGE = "since image"
    SINCE_RESULTS = "since results"
    NEW_FINDINGS = "new findings"
    FINDINGS = "findings"
    FINDINGS_SOME_NEW = "findings, some new"
    MISSED = "missed"
    BY_SEVERITY = "by severity"
    PULLS = "pulls"
    PLATFORMS = "platforms"
    SIGNED = "signed"
    ATTACHED = "attached"
    SCAN = "scan"
    REPOSITORIES = "repositories"


class DailyTexts(msgspec.Struct, frozen=True):
    """What is said of a day."""

    not_well: str  # the title, where that is not "all quiet"
    summary: str  # with {events}, {messages}, {span}
    no_events: str  # with {span}
    last_day: str
    since: str  # with {since}
    messages: Callable[[int], str]
    no_gaps: str
    unread: str  # with {since}
    waiting: str  # with {events}, {since}
    more_gaps: str  # with {count}


class Texts(msgspec.Struct, frozen=True):
    """One language. `kinds` are the plural names of event types, for counting them."""

    titles: Mapping[EventType, str]
    sbom_titles: Mapping[EventType, str]  # a scan's event may be about an SBOM
    mass_title: str
    kinds: Mapping[EventType, str]
    labels: Mapping[Label, str]
    occasions: Mapping[Occasion, str]
    runs: Mapping[RunKind, str]  # with {deleted} or {project}
    counted: Mapping[EventType, Callable[[int], str]]  # what the events of a run are about: 5 -> "5 images"
    deleted: Mapping[EventType, Callable[[int], str]]  # 5 -> "5 images deleted"
    events: Callable[[int], str]  # 5 -> "5 events"
    scans: Callable[[int], str]
    missed: Callable[[int], str]  # earlier results that nobody could read
    more: str  # with {events}: what they are, or only how many
    new: str
    fixed: str
    unchanged: str
    no_fix: str
    fixable: str  # with {count}
    at_least: str  # with {count}
    perhaps: str  # with {names}
    nothing_found: str
    no_figures: str
    worst_images: str
    failed_images: str
    worst: str  # with {severity}
    outcomes: Mapping[EventType, str]  # of scans that brought no result
    signed: str
    signed_platforms: str  # with {some}, {all}
    attachments: Mapping[str, str]  # what Harbor and we call them: what people call them
    phases: Mapping[Phase, str]
    coverage: Mapping[tuple[Phase, Reason], str]  # with {since}, {until}, {period}, {projects}, {rows}, {command}
    rows: Callable[[int], str]  # at most so many are missing
    rows_unknown: str
    daily: DailyTexts
    date: str  # for strftime
    test_title: str
    test_text: str

    def scan_title(self, kind: EventType, *, is_sbom: bool) -> str:
        return self.sbom_titles.get(kind, self.titles[kind]) if is_sbom else self.titles[kind]


class Style(msgspec.Struct, frozen=True):
    """How a chat wants its messages. `extra_escapes` are escaped in addition to what Telegram demands.

    With a `portal`, names link to Harbor's pages: what people see stays the same to the letter.
    """

    language: str
    timezone: tzinfo
    extra_escapes: str = ""
    portal: Portal | None = None

    @property
    def texts(self) -> Texts:
        return ENGLISH if self.language == "en" else RUSSIAN


EMOJI: Mapping[EventType, str] = {
    EventType.PUSH_ARTIFACT: "📦",
    EventType.PULL_ARTIFACT: "📥",
    EventType.DELETE_ARTIFACT: "🗑️",
    EventType.SCANNING_COMPLETED: "🔍",
    EventType.SCANNING_STOPPED: "🛑",
    EventType.SCANNING_FAILED: "⚠️",
    EventType.TAG_CREATED: "🏷️",
    EventType.TAG_DELETED: "✂️",
    EventType.REPOSITORY_DELETED: "🧹",
    EventType.PROJECT_CREATED: "📁",
    EventType.PROJECT_UPDATED: "📝",
    EventType.PROJECT_DELETED: "🧨",
    EventType.ROBOT_CREATED: "🤖",
    EventType.ROBOT_DELETED: "🤖",
    EventType.USER_CREATED: "👤",
    EventType.USER_UPDATED: "👤",
    EventType.USER_DELETED: "👤",
    EventType.MEMBER_CREATED: "👥",
    EventType.MEMBER_UPDATED: "👥",
    EventType.MEMBER_DELETED: "👥",
    EventType.LOGIN: "🔑",
    EventType.LOGIN_REFUSED: "🚫",
    EventType.LOGOUT: "🚪",
    EventType.CONFIGURATION_CHANGED: "⚙️",
    EventType.NOT_UNDERSTOOD: "❓",
    EventType.COVERAGE: "👁",
    EventType.DAILY: "☀️",
}

PHASE_EMOJI: Mapping[Phase, str] = {Phase.BEGAN: "🙈", Phase.ENDED: "👁", Phase.FOUND: "🕳"}

OCCASION_EMOJI: Mapping[Occasion, str] = {
    Occasion.BACKLOG: "📚",
    Occasion.CATCH_UP: "⏰",
    Occasion.BACKFILL: "🗂️",
    Occasion.QUIET_HOURS: "🌙",
    Occasion.PERIOD: "🗞️",
}


RUN_EMOJI: Mapping[RunKind, str] = {
    RunKind.CLEAN_UP: EMOJI[EventType.DELETE_ARTIFACT],
    RunKind.DELETIONS: EMOJI[EventType.DELETE_ARTIFACT],
    RunKind.REPOSITORIES: EMOJI[EventType.REPOSITORY_DELETED],
    RunKind.PROJECTS: EMOJI[EventType.PROJECT_DELETED],
    RunKind.PUSHES: EMOJI[EventType.PUSH_ARTIFACT],
    RunKind.MIXED: OCCASION_EMOJI[Occasion.BACKLOG],
}


_ATTACHMENTS = {"sbom": "SBOM", "sbom.harbor": "SBOM", "accessory.nydus": "Nydus"}


def _russian(one: str, few: str, many: str) -> Callable[[int], str]:
    """1 событие, 2 события, 5 событий, 11 событий, 21 событие."""

    def counted(count: int) -> str:
        tens, ones = count % 100 // 10, count % 10
        if tens == 1 or ones == 0 or ones > 4:
            return f"{count} {many}"
        return f"{count} {one if ones == 1 else few}"

    return counted


def _deleted(one: str, few: str, many: str) -> Callable[[int], str]:
    """удалён 1 образ, удалено 5 образов; of masculine words."""
    counted = _russian(one, few, many)
    return lambda count: f"{'удалён' if counted(count) == f'{count} {one}' else 'удалено'} {counted(count)}"


def _english(one: str, many: str) -> Callable[[int], str]:
    return lambda count: f"{count} {one if count == 1 else many}"


RUSSIAN = Texts(
    titles={
        EventType.PUSH_ARTIFACT: "Новый пуш в Harbor",
        EventType.PULL_ARTIFACT: "Pull в Harbor",
        EventType.DELETE_ARTIFACT: "Удаление образа в Harbor",
        EventType.SCANNING_COMPLETED: "Сканирование завершено",
        EventType.SCANNING_STOPPED: "Сканирование остановлено",
        EventType.SCANNING_FAILED: "Сканирование не удалось",
        EventType.TAG_CREATED: "Создан тег в Harbor",
        EventType.TAG_DELETED: "Удалён тег в Harbor",
        EventType.REPOSITORY_DELETED: "Удалён репозиторий в Harbor",
        EventType.PROJECT_CREATED: "Создан проект в Harbor",
        EventType.PROJECT_UPDATED: "Изменён проект в Harbor",
        EventType.PROJECT_DELETED: "Удалён проект в Harbor",
        EventType.ROBOT_CREATED: "Создан робот в Harbor",
        EventType.ROBOT_DELETED: "Удалён робот в Harbor",
        EventType.USER_CREATED: "Создана учётная запись в Harbor",
        EventType.USER_UPDATED: "Изменена учётная запись в Harbor",
        EventType.USER_DELETED: "Удалена учётная запись в Harbor",
        EventType.MEMBER_CREATED: "Добавлен участник проекта в Harbor",
        EventType.MEMBER_UPDATED: "Изменён участник проекта в Harbor",
        EventType.MEMBER_DELETED: "Исключён участник проекта в Harbor",
        EventType.LOGIN: "Вход в Harbor",
        EventType.LOGIN_REFUSED: "Отказано во входе в Harbor",
        EventType.LOGOUT: "Выход из Harbor",
        EventType.CONFIGURATION_CHANGED: "Изменены настройки Harbor",
        EventType.NOT_UNDERSTOOD: "Непонятная запись в журнале Harbor",
        EventType.COVERAGE: "Что видно в Harbor",
        EventType.DAILY: "Всё спокойно",
    },
    sbom_titles={
        EventType.SCANNING_COMPLETED: "SBOM создан",
        EventType.SCANNING_STOPPED: "Создание SBOM остановлено",
        EventType.SCANNING_FAILED: "Не удалось создать SBOM",
    },
    mass_title="Массовое сканирование завершено",
    kinds={
        EventType.PUSH_ARTIFACT: "Пуши",
        EventType.PULL_ARTIFACT: "Pull",
        EventType.DELETE_ARTIFACT: "Удаления образов",
        EventType.SCANNING_COMPLETED: "Завершённые сканирования",
        EventType.SCANNING_STOPPED: "Остановленные сканирования",
        EventType.SCANNING_FAILED: "Неудавшиеся сканирования",
        EventType.TAG_CREATED: "Созданные теги",
        EventType.TAG_DELETED: "Удалённые теги",
        EventType.REPOSITORY_DELETED: "Удалённые репозитории",
        EventType.PROJECT_CREATED: "Созданные проекты",
        EventType.PROJECT_UPDATED: "Изменения проектов",
        EventType.PROJECT_DELETED: "Удалённые проекты",
        EventType.ROBOT_CREATED: "Созданные роботы",
        EventType.ROBOT_DELETED: "Удалённые роботы",
        EventType.USER_CREATED: "Созданные учётные записи",
        EventType.USER_UPDATED: "Изменения учётных записей",
        EventType.USER_DELETED: "Удалённые учётные записи",
        EventType.MEMBER_CREATED: "Добавленные участники",
        EventType.MEMBER_UPDATED: "Изменения участников",
        EventType.MEMBER_DELETED: "Исключённые участники",
        EventType.LOGIN: "Входы",
        EventType.LOGIN_REFUSED: "Отказы во входе",
        EventType.LOGOUT: "Выходы",
        EventType.CONFIGURATION_CHANGED: "Изменения настроек",
        EventType.NOT_UNDERSTOOD: "Непонятные записи",
        EventType.COVERAGE: "Слепые пятна и пробелы",
        EventType.DAILY: "Ежедневные сообщения",
    },
    labels={
        Label.REPOSITORY: "Репозиторий",
        Label.TAG: "Тег",
        Label.TAGS: "Теги",
        Label.URL: "URL",
        Label.PUSHER: "Автор пуша",
        Label.USER: "Пользователь",
        Label.STATUS: "Статус скана",
        Label.DURATION: "Продолжительность",
        Label.SECONDS: "Продолжительность (s)",
        Label.SEVERITY: "Критичность (макс)",
        Label.TOTAL: "Всего уязвимостей",
        Label.FIXABLE: "Исправимо",
        Label.SCANNER: "Сканер",
        Label.PROJECT: "Проект",
        Label.ROBOT: "Робот",
        Label.ACCOUNT: "Учётная запись",
        Label.MEMBER: "Участник",
        Label.SETTINGS: "Настройки",
        Label.ENTRY: "Запись",
        Label.SOURCE: "Источник",
        Label.PERIOD: "Период",
        Label.COUNT: "Всего",
        Label.PLATFORM: "Платформа",
        Label.RUN_STATUS: "Статус",
        Label.LONGEST: "Продолжительность (макс)",
        Label.SUM: "Всего уязвимостей (сумма по платформам)",
        Label.SINCE_SCAN: "С прошлого сканирования",
        Label.SINCE_IMAGE: "По сравнению с прошлым образом тега",
        Label.SINCE_RESULTS: "По сравнению с прежними результатами",
        Label.NEW_FINDINGS: "Новые Critical и High",
        Label.FINDINGS: "Critical и High",
        Label.FINDINGS_SOME_NEW: "Critical и High, среди них новые",
        Label.MISSED: "Пропущено",
        Label.BY_SEVERITY: "Образы по худшей критичности",
        Label.PULLS: "Количество",
        Label.PLATFORMS: "Платформы",
        Label.SIGNED: "Подписан",
        Label.ATTACHED: "Приложено",
        Label.SCAN: "Скан",
        Label.REPOSITORIES: "Репозитории",
    },
    occasions={
        Occasion.BACKLOG: "Много событий в Harbor сразу",
        Occasion.CATCH_UP: "Что было в Harbor за время простоя",
        Occasion.BACKFILL: "Что было в Harbor за прошедший период",
        Occasion.QUIET_HOURS: "За тихие часы",
        Occasion.PERIOD: "Сводка",
    },
    runs={
        RunKind.CLEAN_UP: "Очистка в Harbor: {deleted}",
        RunKind.DELETIONS: "Удаления в Harbor",
        RunKind.REPOSITORIES: "Удалены репозитории в Harbor",
        RunKind.PROJECTS: "Удалены проекты в Harbor",
        RunKind.PUSHES: "Пуши в {project}",
        RunKind.MIXED: "События в Harbor",
    },
    counted={
        EventType.PUSH_ARTIFACT: _russian("пуш", "пуша", "пушей"),
        EventType.DELETE_ARTIFACT: _russian("образ", "образа", "образов"),
        EventType.TAG_DELETED: _russian("тег", "тега", "тегов"),
        EventType.REPOSITORY_DELETED: _russian("репозиторий", "репозитория", "репозиториев"),
        EventType.PROJECT_DELETED: _russian("проект", "проекта", "проектов"),
    },
    deleted={
        EventType.DELETE_ARTIFACT: _deleted("образ", "образа", "образов"),
        EventType.TAG_DELETED: _deleted("тег", "тега", "тегов"),
    },
    events=_russian("событие", "события", "событий"),
    scans=_russian("сканирование", "сканирования", "сканирований"),
    missed=_russian(
        "прежний результат этого образа заменён новым раньше, чем его удалось прочитать",
        "прежних результата этого образа заменены новыми раньше, чем их удалось прочитать",
        "прежних результатов этого образа заменены новыми раньше, чем их удалось прочитать",
    ),
    more="и ещё {events}",
    new="новых",
    fixed="исправлено",
    unchanged="без изменений",
    no_fix="исправления нет",
    fixable="исправимо {count}",
    at_least="не менее {count}",
    perhaps="возможно, {names}",
    nothing_found="без уязвимостей",
    no_figures="без сведений",
    worst_images="Худшие образы:",
    failed_images="Не удалось просканировать:",
    worst="худшая критичность: {severity}",
    outcomes={EventType.SCANNING_FAILED: "не удался", EventType.SCANNING_STOPPED: "остановлен"},
    signed="да",
    signed_platforms="платформы: {some} из {all}",
    attachments=_ATTACHMENTS | {"attestation": "аттестация", "subject.accessory": "прочее"},
    phases={Phase.BEGAN: "Слепое пятно", Phase.ENDED: "Снова видно", Phase.FOUND: "Пробел"},
    coverage={
        (
            Phase.BEGAN,
            Reason.ACCOUNT_REFUSED,
        ): "Harbor не принимает учётную запись с {since}: она истекла, отключена или "
        "у неё другой секрет. Пока это не исправлено, ничего не прочитать.",
        (
            Phase.BEGAN,
            Reason.NO_RIGHTS,
        ): "общий журнал аудита закрыт для учётной записи с {since}. Верните ей право; о том, что "
        "случится за это время, будет рассказано после.",
        (
            Phase.BEGAN,
            Reason.PROJECT_CLOSED,
        ): "журнал не читается с {since}: {projects}. Проект удалён или скрыт, либо у учётной записи отобрали право.",
        (
            Phase.BEGAN,
            Reason.LOG_OFF,
        ): "Harbor не пишет журнал аудита с {since}, хотя в реестре что-то происходит: о пушах, "
        "pull и удалениях не рассказать.",
        (Phase.BEGAN, Reason.PULLS_OFF): "Harbor не записывает pull в журнал с {since}: о них не рассказать.",
        (
            Phase.BEGAN,
            Reason.SCANNER_OFF,
        ): "сканирования не дают результатов с {since}: {projects}. Сканер отключён, заменён или недоступен.",
        (
            Phase.ENDED,
            Reason.ACCOUNT_REFUSED,
        ): "Harbor снова принимает учётную запись; всё, что было с {since}, прочитано.",
        (Phase.ENDED, Reason.NO_RIGHTS): "журнал аудита снова читается; всё, что было с {since}, прочитано.",
        (Phase.ENDED, Reason.PROJECT_CLOSED): "журнал снова читается: {projects}; всё, что было с {since}, прочитано.",
        (Phase.ENDED, Reason.LOG_OFF): "Harbor снова пишет журнал аудита; о том, что было {period}, не узнать.",
        (Phase.ENDED, Reason.PULLS_OFF): "Harbor снова записывает pull в журнал; о тех, что были {period}, не узнать.",
        (Phase.ENDED, Reason.SCANNER_OFF): "сканирования снова дают результаты: {projects}; их не было {period}.",
        (
            Phase.FOUND,
            Reason.PURGED,
        ): "Harbor удалил записи журнала за {period} раньше, чем их удалось прочитать ({rows}).",
        (
            Phase.FOUND,
            Reason.RESTORED,
        ): "базу Harbor вернули к прежнему состоянию: записей журнала за {period} может не быть.",
        (Phase.FOUND, Reason.HIDDEN): "журнал был закрыт для учётной записи {period}. О том, что было тогда, расскажет "
        "{command}",
    },
    rows=lambda count: f"не более {_russian('записи', 'записей', 'записей')(count)}",
    rows_unknown="сколько, неизвестно",
    daily=DailyTexts(
        not_well="Не всё спокойно",
        summary="{events} {span}, {messages}",
        no_events="{span} событий не было",
        last_day="за 24 ч",
        since="с {since}",
        messages=_russian("сообщение", "сообщения", "сообщений"),
        no_gaps="без пробелов",
        unread="Harbor не прочитан с {since}.",
        waiting="Ждут отправки: {events}, с {since}.",
        more_gaps="И ещё пробелов: {count}.",
    ),
    date="%d.%m.%Y",
    test_title="Проверка связи с Harbor",
    test_text="Это проверочное сообщение. События Harbor будут приходить сюда.",
)

ENGLISH = Texts(
    titles={
        EventType.PUSH_ARTIFACT: "New push in Harbor",
        EventType.PULL_ARTIFACT: "Pull from Harbor",
        EventType.DELETE_ARTIFACT: "Image deleted in Harbor",
        EventType.SCANNING_COMPLETED: "Scan completed",
        EventType.SCANNING_STOPPED: "Scan stopped",
        EventType.SCANNING_FAILED: "Scan failed",
        EventType.TAG_CREATED: "Tag created in Harbor",
        EventType.TAG_DELETED: "Tag deleted in Harbor",
        EventType.REPOSITORY_DELETED: "Repository deleted in Harbor",
        EventType.PROJECT_CREATED: "Project created in Harbor",
        EventType.PROJECT_UPDATED: "Project changed in Harbor",
        EventType.PROJECT_DELETED: "Project deleted in Harbor",
        EventType.ROBOT_CREATED: "Robot created in Harbor",
        EventType.ROBOT_DELETED: "Robot deleted in Harbor",
        EventType.USER_CREATED: "Account created in Harbor",
        EventType.USER_UPDATED: "Account changed in Harbor",
        EventType.USER_DELETED: "Account deleted in Harbor",
        EventType.MEMBER_CREATED: "Project member added in Harbor",
        EventType.MEMBER_UPDATED: "Project member changed in Harbor",
        EventType.MEMBER_DELETED: "Project member removed in Harbor",
        EventType.LOGIN: "Login to Harbor",
        EventType.LOGIN_REFUSED: "Login to Harbor refused",
        EventType.LOGOUT: "Logout from Harbor",
        EventType.CONFIGURATION_CHANGED: "Harbor's configuration changed",
        EventType.NOT_UNDERSTOOD: "Log entry of Harbor not understood",
        EventType.COVERAGE: "What can be seen of Harbor",
        EventType.DAILY: "All quiet",
    },
    sbom_titles={
        EventType.SCANNING_COMPLETED: "SBOM created",
        EventType.SCANNING_STOPPED: "SBOM creation stopped",
        EventType.SCANNING_FAILED: "SBOM could not be created",
    },
    mass_title="Mass scan completed",
    kinds={
        EventType.PUSH_ARTIFACT: "Pushes",
        EventType.PULL_ARTIFACT: "Pulls",
        EventType.DELETE_ARTIFACT: "Images deleted",
        EventType.SCANNING_COMPLETED: "Scans completed",
        EventType.SCANNING_STOPPED: "Scans stopped",
        EventType.SCANNING_FAILED: "Scans failed",
        EventType.TAG_CREATED: "Tags created",
        EventType.TAG_DELETED: "Tags deleted",
        EventType.REPOSITORY_DELETED: "Repositories deleted",
        EventType.PROJECT_CREATED: "Projects created",
        EventType.PROJECT_UPDATED: "Projects changed",
        EventType.PROJECT_DELETED: "Projects deleted",
        EventType.ROBOT_CREATED: "Robots created",
        EventType.ROBOT_DELETED: "Robots deleted",
        EventType.USER_CREATED: "Accounts created",
        EventType.USER_UPDATED: "Accounts changed",
        EventType.USER_DELETED: "Accounts deleted",
        EventType.MEMBER_CREATED: "Members added",
        EventType.MEMBER_UPDATED: "Members changed",
        EventType.MEMBER_DELETED: "Members removed",
        EventType.LOGIN: "Logins",
        EventType.LOGIN_REFUSED: "Logins refused",
        EventType.LOGOUT: "Logouts",
        EventType.CONFIGURATION_CHANGED: "Configuration changes",
        EventType.NOT_UNDERSTOOD: "Entries not understood",
        EventType.COVERAGE: "Blind spots and gaps",
        EventType.DAILY: "Daily messages",
    },
    labels={
        Label.REPOSITORY: "Repository",
        Label.TAG: "Tag",
        Label.TAGS: "Tags",
        Label.URL: "URL",
        Label.PUSHER: "Pushed by",
        Label.USER: "User",
        Label.STATUS: "Scan status",
        Label.DURATION: "Duration",
        Label.SECONDS: "Duration (s)",
        Label.SEVERITY: "Severity (max)",
        Label.TOTAL: "Vulnerabilities",
        Label.FIXABLE: "Fixable",
        Label.SCANNER: "Scanner",
        Label.PROJECT: "Project",
        Label.ROBOT: "Robot",
        Label.ACCOUNT: "Account",
        Label.MEMBER: "Member",
        Label.SETTINGS: "Settings",
        Label.ENTRY: "Entry",
        Label.SOURCE: "Source",
        Label.PERIOD: "Period",
        Label.COUNT: "Total",
        Label.PLATFORM: "Platform",
        Label.RUN_STATUS: "Status",
        Label.LONGEST: "Duration (max)",
        Label.SUM: "Vulnerabilities (sum over platforms)",
        Label.SINCE_SCAN: "Since the previous scan",
        Label.SINCE_IMAGE: "Since the tag's previous image",
        Label.SINCE_RESULTS: "Since the earlier results",
        Label.NEW_FINDINGS: "New Critical and High",
        Label.FINDINGS: "Critical and High",
        Label.FINDINGS_SOME_NEW: "Critical and High, some of them new",
        Label.MISSED: "Missed",
        Label.BY_SEVERITY: "Images by worst severity",
        Label.PULLS: "Pulls",
        Label.PLATFORMS: "Platforms",
        Label.SIGNED: "Signed",
        Label.ATTACHED: "Attached",
        Label.SCAN: "Scan",
        Label.REPOSITORIES: "Repositories",
    },
    occasions={
        Occasion.BACKLOG: "Many events in Harbor at once",
        Occasion.CATCH_UP: "What happened in Harbor during the downtime",
        Occasion.BACKFILL: "What happened in Harbor in a past period",
        Occasion.QUIET_HOURS: "During the quiet hours",
        Occasion.PERIOD: "Summary",
    },
    runs={
        RunKind.CLEAN_UP: "Clean-up in Harbor: {deleted}",
        RunKind.DELETIONS: "Deletions in Harbor",
        RunKind.REPOSITORIES: "Repositories deleted in Harbor",
        RunKind.PROJECTS: "Projects deleted in Harbor",
        RunKind.PUSHES: "Pushes into {project}",
        RunKind.MIXED: "Events in Harbor",
    },
    counted={
        EventType.PUSH_ARTIFACT: _english("push", "pushes"),
        EventType.DELETE_ARTIFACT: _english("image", "images"),
        EventType.TAG_DELETED: _english("tag", "tags"),
        EventType.REPOSITORY_DELETED: _english("repository", "repositories"),
        EventType.PROJECT_DELETED: _english("project", "projects"),
    },
    deleted={
        EventType.DELETE_ARTIFACT: _english("image deleted", "images deleted"),
        EventType.TAG_DELETED: _english("tag deleted", "tags deleted"),
    },
    events=_english("event", "events"),
    scans=_english("scan", "scans"),
    missed=_english(
        "earlier result of this image was replaced before it could be read",
        "earlier results of this image were replaced before they could be read",
    ),
    more="and {events} more",
    new="new",
    fixed="fixed",
    unchanged="no changes",
    no_fix="no fix",
    fixable="fixable {count}",
    at_least="at least {count}",
    perhaps="perhaps {names}",
    nothing_found="without vulnerabilities",
    no_figures="without figures",
    worst_images="Worst images:",
    failed_images="Could not be scanned:",
    worst="worst severity: {severity}",
    outcomes={EventType.SCANNING_FAILED: "failed", EventType.SCANNING_STOPPED: "stopped"},
    signed="yes",
    signed_platforms="platforms: {some} of {all}",
    attachments=_ATTACHMENTS | {"subject.accessory": "other"},
    phases={Phase.BEGAN: "Blind spot", Phase.ENDED: "Seen again", Phase.FOUND: "Gap"},
    coverage={
        (
            Phase.BEGAN,
            Reason.ACCOUNT_REFUSED,
        ): "Harbor has refused the account since {since}: it has expired, is disabled "
        "or has another secret. Nothing can be read until that is mended.",
        (
            Phase.BEGAN,
            Reason.NO_RIGHTS,
        ): "the whole audit log has been closed to the account since {since}. Give the right back; "
        "what happens meanwhile is told then.",
        (
            Phase.BEGAN,
            Reason.PROJECT_CLOSED,
        ): "the log has not been readable since {since}: {projects}. The project is gone "
        "or hidden, or the account has lost its right.",
        (
            Phase.BEGAN,
            Reason.LOG_OFF,
        ): "Harbor has written no audit log since {since}, though the registry moves: pushes, "
        "pulls and deletions cannot be told.",
        (Phase.BEGAN, Reason.PULLS_OFF): "Harbor has not logged pulls since {since}: they cannot be told.",
        (
            Phase.BEGAN,
            Reason.SCANNER_OFF,
        ): "scans have brought no results since {since}: {projects}. The scanner is disabled, "
        "was changed or cannot be reached.",
        (
            Phase.ENDED,
            Reason.ACCOUNT_REFUSED,
        ): "Harbor accepts the account again; what happened since {since} has been read.",
        (Phase.ENDED, Reason.NO_RIGHTS): "the audit log can be read again; what happened since {since} has been read.",
        (
            Phase.ENDED,
            Reason.PROJECT_CLOSED,
        ): "the log can be read again: {projects}; what happened since {since} has been read.",
        (Phase.ENDED, Reason.LOG_OFF): "Harbor writes its audit log again; what happened {period} cannot be known.",
        (Phase.ENDED, Reason.PULLS_OFF): "Harbor logs pulls again; those of {period} cannot be known.",
        (Phase.ENDED, Reason.SCANNER_OFF): "scans bring results again: {projects}; there were none {period}.",
        (Phase.FOUND, Reason.PURGED): "Harbor has purged its log of {period} before it could be read ({rows}).",
        (
            Phase.FOUND,
            Reason.RESTORED,
        ): "Harbor's database was put back to an earlier state: entries of {period} may be missing from its log.",
        (
            Phase.FOUND,
            Reason.HIDDEN,
        ): "the log was closed to the account {period}. What happened then is told by {command}",
    },
    rows=lambda count: f"at most {_english('entry', 'entries')(count)}",
    rows_unknown="how many is not known",
    daily=DailyTexts(
        not_well="Not all quiet",
        summary="{events} {span}, told in {messages}",
        no_events="no events {span}",
        last_day="in the last 24 h",
        since="since {since}",
        messages=_english("message", "messages"),
        no_gaps="covered without gaps",
        unread="Harbor has not been read since {since}.",
        waiting="Waiting to be told: {events}, since {since}.",
        more_gaps="Gaps that are not named here: {count}.",
    ),
    date="%Y-%m-%d",
    test_title="Harbor connection test",
    test_text="This is a test message. Harbor's events will arrive here.",
)
