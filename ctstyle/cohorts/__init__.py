"""Where CT comes from: every cohort ends as a sheet of scans."""
