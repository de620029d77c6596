"""Fields of the venues' replies, of all generations of their schemas: one that is none of these is reported, so that a
change of a schema is noticed before it matters."""

from __future__ import annotations

KALSHI_MARKET = frozenset(
    """
    can_close_early cap_strike close_time created_time custom_strike early_close_condition event_ticker
    exchange_index expected_expiration_time expiration_time expiration_value fee_waiver_expiration_time
    floor_strike fractional_trading_enabled functional_strike is_provisional last_price last_price_dollars
    latest_expiration_time liquidity liquidity_dollars market_type mve_collection_ticker mve_selected_legs
    no_ask no_ask_dollars no_ask_size_fp no_bid no_bid_dollars no_bid_size_fp no_sub_title notional_value
    notional_value_dollars occurrence_datetime open_interest open_interest_fp open_time previous_price
    previous_price_dollars previous_yes_ask previous_yes_ask_dollars previous_yes_bid
    previous_yes_bid_dollars price_level_structure price_ranges primary_participant_key response_price_units
    result rules_primary rules_secondary series_ticker settlement_sources settlement_timer_seconds
    settlement_ts settlement_value settlement_value_dollars status strike_type subtitle tick_size ticker
    title updated_time volume volume_24h volume_24h_fp volume_fp yes_ask yes_ask_dollars yes_ask_size_fp
    yes_bid yes_bid_dollars yes_bid_size_fp yes_sub_title
    """.split()  # noqa: SIM905
)
KALSHI_CANDLE = frozenset(
    """
    end_period_ts open_interest open_interest_fp price volume volume_fp yes_ask yes_bid
    """.split()  # noqa: SIM905
)
KALSHI_TRADE = frozenset(
    """
    count count_fp created_time is_block_trade no_price no_price_dollars price taker_book_side
    taker_outcome_side taker_side ticker trade_id yes_price yes_price_dollars
    """.split()  # noqa: SIM905
)
POLYMARKET_MARKET = frozenset(
    """
    acceptingOrders acceptingOrdersTimestamp active ammType approved archived automaticallyActive
    automaticallyResolved bestAsk bestBid categories category categoryMailchimpTag clearBookOnStart
    clobRewards clobTokenIds closed closedTime commentsEnabled competitive conditionId createdAt createdBy
    creator curationOrder customLiveness cyom denominationToken deploying deployingTimestamp description
    disqusThread enableOrderBook endDate endDateIso eventStartTime events featured fee feeSchedule feeType
    feesEnabled formatType fpmmLive funded fundedTimestamp gameId gameStartTime groupItemRange
    groupItemThreshold groupItemTitle hasReviewedDates holdingRewardsEnabled icon iconOptimized id image
    imageOptimized lastTradePrice line liquidity liquidityAmm liquidityClob liquidityNum lowerBound
    lowerBoundDate mailchimpTag makerBaseFee makerRebatesFeeShareBps manualActivation marketGroup
    marketMakerAddress marketType negRisk negRiskMarketID negRiskOther negRiskRequestID new
    notificationsEnabled oneDayPriceChange oneHourPriceChange oneMonthPriceChange oneWeekPriceChange
    oneYearPriceChange orderMinSize orderPriceMinTickSize outcomePrices outcomes
    pagerDutyNotificationEnabled pastSlugs pendingDeployment question questionID questionId ready
    readyForCron readyTimestamp requiresTranslation resolutionSource resolvedBy restricted rewardsMaxSpread
    rewardsMinSize rfqEnabled score secondsDelay sentDiscord seriesColor shortOutcomes showGmpOutcome
    showGmpSeries slug sponsorImage sponsorName sportsMarketType spread startDate startDateIso subcategory
    submitted_by tags takerBaseFee teamAID teamBID twitterCardImage twitterCardLastRefreshed
    twitterCardLastValidated twitterCardLocation umaBond umaEndDate umaEndDateIso umaResolutionStatus
    umaResolutionStatuses umaReward updatedAt updatedBy upperBound upperBoundDate volume volume1mo
    volume1moAmm volume1moClob volume1wk volume1wkAmm volume1wkClob volume1yr volume1yrAmm volume1yrClob
    volume24hr volume24hrAmm volume24hrClob volumeAmm volumeClob volumeNum wideFormat xAxisValue yAxisValue
    """.split()  # noqa: SIM905
)
POLYMARKET_CLOB_MARKET = frozenset(
    """
    accepting_order_timestamp accepting_orders active archived closed condition_id description
    enable_order_book end_date_iso fpmm game_start_time icon image is_50_50_outcome maker_base_fee
    market_slug minimum_order_size minimum_tick_size neg_risk neg_risk_market_id neg_risk_request_id
    notifications_enabled question question_id rewards seconds_delay tags taker_base_fee tokens
    """.split()  # noqa: SIM905
)
POLYMARKET_TRADE = frozenset(
    """
    asset bio conditionId eventSlug icon name outcome outcomeIndex price profileImage profileImageOptimized
    proxyWallet pseudonym side size slug timestamp title transactionHash
    """.split()  # noqa: SIM905
)
POLYMARKET_BOOK = frozenset(
    """
    asks asset_id bids hash last_trade_price market min_order_size neg_risk tick_size timestamp
    """.split()  # noqa: SIM905
)
OANDA_CANDLE = frozenset({"ask", "bid", "complete", "mid", "time", "volume"})
OANDA_INSTRUMENT = frozenset(
    """
    displayName displayPrecision financing guaranteedStopLossOrderMode marginRate maximumOrderUnits
    maximumPositionSize maximumTrailingStopDistance minimumGuaranteedStopLossDistance minimumTradeSize
    minimumTrailingStopDistance name pipLocation tags tradeUnitsPrecision type
    """.split()  # noqa: SIM905
)
