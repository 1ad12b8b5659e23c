"""Pictures of what was measured."""

from edgehybrid.exporters.report.study import StudyPicture, check_picture, draw_study
from edgehybrid.exporters.report.timeline import Timeline, check_plot, draw_timeline

__all__ = ["StudyPicture", "Timeline", "check_picture", "check_plot", "draw_study", "draw_timeline"]
