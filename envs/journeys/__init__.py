"""Journeys: what people meet of a campaign on their devices, ours and elsewhere, and what makes them convert.

An overlay on the market, there only where a scenario asks for it (`journeys:`): it reads the impressions that
the market served, and says which conversions follow. `settings` is what a scenario may set, `hidden` what a
seed fixes, `touches` makes touches of impressions, `walk` who converts when, `identity` what an advertiser
sees of it, `truth` what each cell truly brought, `world` puts them together.
"""
