"""Pictures of what was measured."""

from edgehybrid.exporters.report.timeline import Timeline, check_plot, draw_timeline

__all__ = ["Timeline", "check_plot", "draw_timeline"]
