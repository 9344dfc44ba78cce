"""How results show themselves: a line in a session, a small table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape


class Shown(ABC):
    """Something with a few facts that say what it is."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """What a person sees of it, by name, the most important first."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(f'{name} {fact}' for name, fact in self.facts().items())}>"

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(fact)}</td></tr>" for name, fact in self.facts().items())
        return f"<table>{''.join(rows)}</table>"
