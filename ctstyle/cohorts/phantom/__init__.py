"""The embedded cohort: virtual patients with a parametric spine and trunk, drawn from their own seeds.

`settings` names the patients, styles and scans; `patient` makes one patient from `spine`, `trunk`, `viscera` and
`tissues`; `scanner` takes its CT.
"""
